"""What a submission and a schedule accept of the parameters of the gate and of the publication."""

import pytest

from pipeline.cluster.cron import Cron
from pipeline.cluster.schedule import Schedule
from pipeline.cluster.submission import Submission
from pipeline.run_options import make_local_run
from pipeline.tasks import Tasks

TARGETS = {"kfp": "", "vertex": "gs://bucket/root"}


def make_submission(target: str, **parameters: object) -> Submission:
    tasks = Tasks(image="registry.example/two-tower:1", platform=target)
    given = {"log_path": "gs://logs/days", **parameters}
    return Submission(pipeline="retraining", tasks=tasks, parameters=given, pipeline_root=TARGETS[target])


@pytest.mark.parametrize("target", TARGETS)
def test_versions_are_published_to_a_bucket(target: str) -> None:
    for uri in ("s3://models/shop", "gs://models/shop", ""):
        assert make_submission(target, serving_uri=uri).parameters["serving_uri"] == uri
    for uri in ("/models/shop", "/gcs/models/shop", "models"):  # a mounted bucket creates nothing conditionally
        with pytest.raises(ValueError, match=f"Expected serving_uri to be an address .* Received: '{uri}'"):
            make_submission(target, serving_uri=uri)


@pytest.mark.parametrize("target", TARGETS)
def test_the_gate_is_overridden_for_one_run_and_in_no_schedule(target: str) -> None:
    cron = Cron(expression="0 3 * * 1")
    submission = make_submission(target, gate_override="Ada: sold out")
    with pytest.raises(ValueError, match=r"Expected no gate_override in a schedule.*Received: 'Ada: sold out'"):
        Schedule(name="weekly", cron=cron, submission=submission)
    Schedule(name="weekly", cron=cron, submission=make_submission(target, gate_override=""))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("gate_max_mean_loss", 2.0, r"Expected gate_max_mean_loss to be from 0 to 1\. Received: 2\.0"),
        ("gate_override", " ", "Expected gate_override to be a reason"),
        ("drift_bounds", ["volume=2:1"], "volume"),
        ("data_errors", ["tie"], "Expected data_errors to be among"),
    ],
)
def test_what_would_fail_after_the_training_is_refused_before_it(
    target: str, name: str, value: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_submission(target, **{name: value})
    given = [
        f"{name}={','.join(value) if isinstance(value, list) else value}",
        "log_path=s3://logs/days",
        "serving_uri=",
    ]
    with pytest.raises(ValueError, match=message):
        make_local_run({}, tuple(given), "", Tasks())
