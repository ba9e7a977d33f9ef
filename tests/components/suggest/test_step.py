import json

import pytest

from components.suggest.parameters import SuggestParameters
from components.suggest.step import suggest
from components.train.parameters import TrainParameters

SPACE = "dropout: {low: 0.0, high: 0.4, step: 0.1}\nlearning_rate: {low: 0.001, high: 0.01, log: true}"


def outcome_of(point, **changes):
    """The outcome of a trial that is better the nearer its dropout is to 0.1."""
    values = {**TrainParameters().to_dict(), **json.loads(point)}
    value = 1.0 - abs(values["dropout"] - 0.1)
    outcome = {
        "point": json.loads(point), "parameters": values, "state": "complete", "error": "", "value": value,
        "recall@20": value - 0.2, "mrr@20": 0.2, "best_epoch": 1, "epochs": 2, "duration": 3.0,
    }  # fmt: skip
    return json.dumps({**outcome, **changes})


def run(folder, number, outcomes, num_points, **changes):
    parameters = SuggestParameters(search_space=SPACE, trials_per_round=num_points, **changes)
    earlier = folder / f"trials-{number - 1}.json"
    paths = folder / f"trials-{number}.json", folder / f"page-{number}.html"
    return suggest(earlier if earlier.is_file() else None, outcomes, *paths, parameters)


def test_rounds_lead_from_the_given_parameters_to_the_best_point(tmp_path):
    first = run(tmp_path, 1, [], 3)
    assert first.points[0] == "{}"
    assert len(first.points) == 3
    assert first.best is None
    second = run(tmp_path, 2, [outcome_of(point) for point in first.points], 3)
    assert "{}" not in second.points
    assert len({*first.points, *second.points}) == 6
    last = run(tmp_path, 3, [outcome_of(point) for point in second.points], 0)
    assert last.points == []
    assert last.num_trials == 6
    trials = json.loads((tmp_path / "trials-3.json").read_text())
    assert [trial["number"] for trial in trials] == [1, 2, 3, 4, 5, 6]
    assert last.best["value"] == max(trial["value"] for trial in trials)
    assert json.dumps(last.best["point"]) in {*first.points, *second.points}
    pages = [(tmp_path / f"page-{number}.html").read_text() for number in (1, 2, 3)]
    assert ["0 trials, none complete" in page for page in pages] == [True, False, False]
    assert "<p>6 trials. The best is trial" in pages[2]


def test_a_failed_trial_is_kept_and_the_search_goes_on(tmp_path):
    points = run(tmp_path, 1, [], 2).points
    lost = outcome_of(points[0], state="failed", error="The process of the trial was ended by signal 9.", value=None)
    suggested = run(tmp_path, 2, [lost, outcome_of(points[1])], 0)
    assert suggested.best["number"] == 2
    assert "failed: The process of the trial was ended by signal 9." in (tmp_path / "page-2.html").read_text()


def test_the_last_round_fails_if_all_trials_have(tmp_path):
    points = run(tmp_path, 1, [], 2).points
    lost = [outcome_of(point, state="failed", error="ValueError: Expected a finite loss.") for point in points]
    assert len(run(tmp_path, 2, lost, 2).points) == 2
    with pytest.raises(RuntimeError, match="All 4 trials have failed: 4 x ValueError: Expected a finite loss"):
        run(tmp_path, 3, lost, 0)
    assert len(json.loads((tmp_path / "trials-3.json").read_text())) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search_space": "lr: 3"}, "Expected lr in the space to be"),
        ({"search_sampler": "grid"}, "Expected search_sampler to be one of tpe, random. Received: 'grid'"),
        ({"trials_per_round": -1}, "Expected trials_per_round to be at least 0. Received: -1"),
    ],
)
def test_wrong_parameters_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SuggestParameters(**changes)
