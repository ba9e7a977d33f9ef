"""Opt-in: `python -m pytest -m cluster` where KF_PIPELINES_ENDPOINT names a Kubeflow Pipelines API."""

import os
import uuid

import pytest
from factories import PATHS

from components.image import IMAGE
from pipeline import schedule
from pipeline.client import connect
from pipeline.cron import Cron
from pipeline.submit import Submission, prepare_version
from pipeline.tasks import Tasks

pytestmark = pytest.mark.cluster


def test_a_schedule_comes_changes_and_goes() -> None:
    if "KF_PIPELINES_ENDPOINT" not in os.environ:
        pytest.skip("KF_PIPELINES_ENDPOINT is not set")
    client = connect(
        token=os.environ.get("KF_PIPELINES_TOKEN", ""), namespace=os.environ.get("KF_PIPELINES_NAMESPACE", "")
    )
    submission = Submission(pipeline="training", tasks=Tasks(image=IMAGE, platform="kfp"), parameters=PATHS)
    assert prepare_version(client, submission) == prepare_version(client, submission)
    name = f"test-{uuid.uuid4()}"
    try:
        for expression in ("0 3 1 1 *", "0 4 1 1 *"):
            wanted = schedule.Schedule(
                name=name, cron=Cron(expression=expression), submission=submission, enabled=False
            )
            assert schedule.apply_schedule(client, wanted)
            assert schedule.apply_schedule(client, wanted) == []
            (installed,) = schedule.list_schedules(client, name)
            assert installed.cron == f"0 {expression}"
    finally:
        if schedule.list_schedules(client, name):
            schedule.delete_schedule(client, name)
