"""Opt-in: `python -m pytest -m cluster` where KF_PIPELINES_ENDPOINT names a Kubeflow Pipelines API."""

import os
import uuid

import pytest
from factories import PATHS

from components.image import IMAGE
from pipeline.cluster.cron import Cron
from pipeline.cluster.kubeflow.client import connect
from pipeline.cluster.kubeflow.runs import prepare_version
from pipeline.cluster.kubeflow.schedules import KfpSchedules
from pipeline.cluster.schedule import Schedule
from pipeline.cluster.submission import Submission
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
    schedules = KfpSchedules(client=client)
    name = f"test-{uuid.uuid4()}"
    try:
        for expression in ("0 3 1 1 *", "0 4 1 1 *"):
            wanted = Schedule(name=name, cron=Cron(expression=expression), submission=submission, enabled=False)
            assert schedules.apply(wanted)
            assert schedules.apply(wanted) == []
            (installed,) = [one for one in schedules.find() if one.name == name]
            assert installed.times == f"{expression} UTC"
    finally:
        if any(one.name == name for one in schedules.find()):
            schedules.delete(name)
