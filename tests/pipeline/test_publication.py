"""Retraining with a serving location, as a user starts it: published, gated against the published version, refused."""

import json
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from in_process import tasks_in_process
from webhook_server import serve
from weekly_logs import (
    SHOP,
    WEEKLY_SETTINGS,
    WEEKS,
    click_at_random,
    lose_items,
    read_rows,
    write_changed,
    write_successors,
)

from components.core.saved_model import read_training
from components.core.serving.location import list_versions
from components.export.index import recommend
from components.notify.step import WEBHOOK_VARIABLE
from components.publish.rollback import roll_back
from pipeline.__main__ import cli
from pipeline.exit_codes import ExitCode
from pipeline.kfp_runner import RunError
from pipeline.local import GateRefusalError

# The first moments after the weeks, in milliseconds.
ENDS = [int(datetime.fromisoformat(week).replace(tzinfo=UTC).timestamp() * 1_000) for week in WEEKS]


def run(log: Path, output: Path, serving: Path, *settings: str, week: str = "") -> ExitCode:
    values = dict(setting.split("=", 1) for setting in (*WEEKLY_SETTINGS, *settings))
    options = [option for name, value in values.items() for option in ("--set", f"{name}={value}")]
    options += ["--as-of", week] if week else []
    command = ["run", "--events", str(log), "--serving", str(serving), *options, "--output", str(output)]
    with tasks_in_process():
        return cli.main(command, standalone_mode=False)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weeks")
    SHOP.write(folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_three_weeks_of_which_the_last_is_poisoned_at_first(log, tmp_path, monkeypatch, capsys):
    serving, output = tmp_path / "it's here" / "serving", tmp_path / "output"
    newest = {
        week: max(time for *_, time in read_rows(log) if time < day) for week, day in zip(WEEKS, ENDS, strict=True)
    }
    with serve((200, b"ok")) as (url, bodies):
        monkeypatch.setenv(WEBHOOK_VARIABLE, url)
        assert run(log, output, serving, week=WEEKS[0]) == ExitCode.DONE, capsys.readouterr().out
        (first,) = list_versions(str(serving))
        assert f"Version 1 is published in {serving}." in " ".join(capsys.readouterr().out.split())
        assert json.loads((output / "manifest.json").read_text()) == first.document
        assert first.document["metrics"]["champion"]["status"] == "none"
        assert first.document["verdict"]["decided_by"] == "all rules"
        assert (output / "gate_report.md").read_text().startswith("# Gate: passed")
        # What is published is not what was evaluated: it knows the test week.
        evaluated = json.loads((output / "metrics.json").read_text())
        assert evaluated["trained_until"] < evaluated["test"]["first_time"]
        assert first.document["trained_until"] == evaluated["test"]["last_time"]
        assert 0 <= newest[WEEKS[0]] - first.document["trained_until"] < 3_600_000  # a session of one event is dropped
        assert first.document["data_sha256"] != evaluated["data_sha256"]
        assert first.document["verification"] == json.loads((output / "verification.json").read_text())
        assert first.document["verification"]["overlap"] > 0.5
        assert recommend(serving / "1", ["i3"], k=5, exclude_seen=False) != recommend(
            output / "index", ["i3"], k=5, exclude_seen=False
        )
        assert not (output / ".checkpoints").exists()

        # The champion has seen the week before, and nothing of this one.
        code = run(log, output, serving, "warm_start=true", week=WEEKS[1])
        assert code == ExitCode.DONE, capsys.readouterr().out
        for model_dir in (output / "model", serving / "models" / "2" / "model"):
            assert read_training(model_dir)["started_from"] == 1
        champion = list_versions(str(serving))[1].document["metrics"]["champion"]
        assert (champion["status"], champion["version"]) == ("compared", 1)
        assert champion["trained_until"] == first.document["trained_until"]
        metrics = json.loads((output / "metrics.json").read_text())
        assert champion["num_targets"] >= 0.98 * metrics["num_targets"]  # all but a session that spans midnight

        before = {path: path.read_bytes() for path in serving.rglob("*") if path.is_file()}
        for change, rule in ((click_at_random, "popularity"), (lose_items, "lost_events")):
            poisoned = write_changed(log, tmp_path / change.__name__, change)
            capsys.readouterr()
            assert run(poisoned, output, serving, week=WEEKS[2]) == ExitCode.GATE
            verdict = json.loads((output / "verdict.json").read_text())
            assert (verdict["passed"], verdict["decided_by"]) == (False, rule)
            printed = " ".join(capsys.readouterr().out.split())
            assert f"The gate refused the model. Decided by: {rule}." in printed
            assert f"Nothing was published in {serving}." in printed
            assert f"**Decided by:** {rule}" in (output / "gate_report.md").read_text()
            assert not (output / "manifest.json").exists()
            assert {path: path.read_bytes() for path in serving.rglob("*") if path.is_file()} == before
            told = json.loads(bodies[-1])
            assert (told["status"], told["version"]) == ("refused", None)
            assert told["gate"] == {key: verdict[key] for key in ("passed", "rules_passed", "decided_by", "reason")}
            assert verdict["reason"] in told["text"]

        assert run(log, output, serving, week=WEEKS[2]) == ExitCode.DONE, capsys.readouterr().out
        told = json.loads(bodies[-1])
        assert (told["status"], told["version"], told["serving_uri"]) == ("published", 3, str(serving))
        assert told["champion"]["version"] == 2
        assert told["champion"]["champion"].keys() == told["metrics"].keys() == {"recall@20", "mrr@20"}
        assert len(bodies) == 5

    answers = [recommend(serving / version, ["i3", "i5"], k=5, exclude_seen=False) for version in ("1", "2", "3")]
    assert answers[1] != answers[2]
    assert roll_back(str(serving)).version == 4
    assert recommend(serving / "4", ["i3", "i5"], k=5, exclude_seen=False) == answers[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_same_week_again_has_nothing_that_is_new_to_the_champion(log, tmp_path, capsys):
    serving, output = tmp_path / "serving", tmp_path / "output"
    settings = ("max_epochs=1", "refit_on_test=true")
    assert run(log, output, serving, *settings, week=WEEKS[0]) == ExitCode.DONE, capsys.readouterr().out
    with pytest.raises(GateRefusalError, match="RefusedError: The gate refused the model") as failure:
        run(log, output, serving, *settings, "fail_when_refused=true", week=WEEKS[0])
    assert "Refused by the rule champion" in str(failure.value)
    # Without the refit, a model is compared on the week that neither has seen.
    other, settings = tmp_path / "other", ("max_epochs=1", "refit_on_test=false")
    for version in (1, 2):
        assert run(log, output, other, *settings, week=WEEKS[0]) == ExitCode.DONE, capsys.readouterr().out
        published = list_versions(str(other))[-1].document
        assert published["version"] == version
        assert published["verification"] is None
        assert published["trained_until"] < published["metrics"]["test"]["first_time"]
        answers = [
            recommend(path, ["i3"], k=5, exclude_seen=False) for path in (other / f"{version}", output / "index")
        ]
        assert answers[0] == answers[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_does_not_verify_is_not_published_and_the_webhook_says_why(log, tmp_path, monkeypatch):
    serving, output = tmp_path / "serving", tmp_path / "output"
    with serve((200, b"ok")) as (url, bodies):
        monkeypatch.setenv(WEBHOOK_VARIABLE, url)
        with pytest.raises(RunError, match="The model trained on all splits was not published"):
            run(log, output, serving, "max_epochs=1", "refit_min_overlap=1.0", week=WEEKS[0])
    assert list_versions(str(serving)) == []
    (told,) = map(json.loads, bodies)
    assert (told["status"], told["failed_task"], told["error"]["type"]) == ("failed", "verify", "VerificationError")
    assert "expected overlap of at least 1; received" in told["text"].replace("Expected", "expected")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_where_no_model_can_be_better_than_a_markov_chain(tmp_path, capsys):
    serving, output = tmp_path / "serving", tmp_path / "output"
    settings = ("gate_max_mean_loss=0.01", "gate_max_interval_loss=0.03", "embedding_dim=32", "query_tower=last_item")
    code = run(write_successors(tmp_path / "log"), output, serving, *settings, "max_epochs=6")
    verdict = json.loads((output / "verdict.json").read_text())
    if code == ExitCode.DONE:
        assert len(list_versions(str(serving))) == 1
    else:
        assert code == ExitCode.GATE
        assert list_versions(str(serving)) == []
        assert verdict["decided_by"] == "baselines"
        assert "Refused by the rule baselines" in verdict["reason"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--serving", "models"], "Expected --serving together with --events. Received: --serving alone"),
        (["--events", "LOG", "--set", "gate_override=Ada: sold out"], "Expected gate_override together with --serving"),
        (["--events", "LOG", "--serving", "m", "--set", "serving_uri=m"], "Expected --serving or --set serving_uri="),
    ],
)
def test_options_that_do_not_go_together(options, message, tmp_path):
    (tmp_path / "log").touch()
    given = [str(tmp_path / "log") if option == "LOG" else option for option in options]
    with pytest.raises(click.UsageError, match=message):
        cli.main(["run", "--output", str(tmp_path / "output"), *given], standalone_mode=False)


def test_a_location_that_cannot_be_listed_is_refused_before_anything_runs(tmp_path):
    for name in ("log", "file"):
        (tmp_path / name).touch()
    command = ["run", "--events", str(tmp_path / "log"), "--output", str(tmp_path / "output"), "--serving"]
    with pytest.raises(OSError, match=str(tmp_path / "file")):
        cli.main([*command, str(tmp_path / "file")], standalone_mode=False)
    with pytest.raises(ValueError, match="Received: 'http://shop/models'"):
        cli.main([*command, "http://shop/models"], standalone_mode=False)
    assert not (tmp_path / "output").exists()
