import math
import subprocess
import sys

import numpy as np
import pytest

from components.suggest.search import NUM_RANDOM_TRIALS, RANDOM, SAMPLERS, TPE, find_best, make_trials, propose
from components.suggest.spaces import parse_space

SPACE = parse_space(
    "rate: {low: 0.0001, high: 1.0, log: true}\nwidth: {low: 8, high: 64, step: 8}\n"
    "share: {low: 0.0, high: 0.5, step: 0.1}\nlayers: {low: 1, high: 6}\nkind: {choices: [a, b, true]}"
)


def objective(point):
    """Highest, 0, at rate 0.01 and width 32 with the kind b."""
    return -abs(math.log10(point["rate"]) + 2) - abs(point["width"] - 32) / 32 - (point["kind"] != "b")


def complete(point, number=1):
    return {"number": number, "parameters": point, "state": "complete", "value": objective(point), "error": ""}


def failed(point, error="ValueError: no"):
    return {"number": 1, "parameters": point, "state": "failed", "error": error}


def search(num_trials, sampler, random_seed):
    trials = []
    for number in range(1, num_trials + 1):
        (point,) = propose(SPACE, trials, num_points=1, sampler=sampler, random_seed=random_seed)
        trials.append(complete(point, number))
    return trials


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_point_lies_in_the_space(sampler):
    for trial in search(30, sampler, random_seed=1):
        point = trial["parameters"]
        assert list(point) == list(SPACE)
        assert 0.0001 <= point["rate"] <= 1.0
        assert point["rate"] == float(f"{point['rate']:.6g}")
        assert type(point["width"]) is int
        assert point["width"] in range(8, 65, 8)
        assert point["share"] in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
        assert type(point["layers"]) is int
        assert 1 <= point["layers"] <= 6
        assert point["kind"] in ("a", "b", True)


def test_a_logarithm_is_tried_evenly():
    points = propose(SPACE, [], num_points=400, sampler=RANDOM, random_seed=3)
    shares = np.histogram([math.log10(point["rate"]) for point in points], bins=4, range=(-4, 0))[0] / 400
    assert (abs(shares - 0.25) < 0.1).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_points_depend_on_the_trials_and_the_seed_alone(sampler):
    trials = search(8, sampler, random_seed=1)
    again = propose(SPACE, trials[:7], num_points=1, sampler=sampler, random_seed=1)
    assert again == [trials[7]["parameters"]]
    assert propose(SPACE, trials[:7], num_points=1, sampler=sampler, random_seed=2) != again


def test_tpe_learns_where_the_good_points_are():
    """The trials after the random ones, of five searches; the difference of the means in its standard errors."""
    learned, random = (
        np.array([t["value"] for seed in range(5) for t in search(25, sampler, seed)[NUM_RANDOM_TRIALS:]])
        for sampler in SAMPLERS
    )
    error = math.sqrt(learned.var() / len(learned) + random.var() / len(random))
    assert learned.mean() - random.mean() > 3 * error


def test_the_points_of_one_round_differ():
    trials = search(6, TPE, random_seed=1)
    points = propose(SPACE, trials, num_points=4, sampler=TPE, random_seed=1)
    assert len({str(point) for point in points}) == 4


def test_failed_trials_and_trials_outside_the_space_are_no_obstacle():
    outside = {"rate": 3.0, "width": 33, "share": 0.05, "layers": 9, "kind": "c"}
    trials = [complete(outside), *search(6, TPE, random_seed=1), failed(search(1, RANDOM, 5)[0]["parameters"])]
    (point,) = propose(SPACE, trials, num_points=1, sampler=TPE, random_seed=1)
    assert list(point) == list(SPACE)


def test_no_points_are_no_work():
    assert propose(SPACE, [], num_points=0, sampler=TPE, random_seed=1) == []


def test_the_best_is_the_earliest_of_the_highest():
    points = [{"rate": 0.01, "width": 32, "kind": kind} for kind in ("a", "b", "b")]
    trials = [failed(points[0]), *(complete(point, number) for number, point in enumerate(points, 2))]
    assert find_best(trials)["number"] == 3


def test_when_all_trials_failed_the_error_says_why_and_what_to_do():
    trials = [failed({}, "ValueError: one"), failed({}, "MemoryError: two"), failed({}, "MemoryError: two")]
    with pytest.raises(RuntimeError, match="All 3 trials have failed: 2 x MemoryError: two; 1 x ValueError: one"):
        find_best(trials)
    with pytest.raises(RuntimeError, match="All 0 trials have failed: there was none"):
        find_best([])


def test_trials_are_numbered_on():
    assert make_trials(['{"state": "failed"}', '{"value": 0.5}'], first_number=5) == [
        {"number": 5, "state": "failed"},
        {"number": 6, "value": 0.5},
    ]


def test_no_database_is_loaded():
    code = (
        "import sys\nfrom components.suggest.search import *\nfrom components.suggest.spaces import parse_space\n"
        "propose(parse_space('default'), [], num_points=2, sampler='tpe', random_seed=1)\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('sqlalchemy', 'alembic', 'tensorflow')])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
