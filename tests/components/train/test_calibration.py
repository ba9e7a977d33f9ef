import numpy as np
import pytest

from components.core import ranking
from components.train.calibration import PRECISION, OwnPairs, fit_pointer, log_partition_of_others


def draw_pairs(num_queries, num_items, num_features, rng, max_own=4):
    """Own items of random queries; some have none."""
    own = [rng.choice(num_items, rng.integers(0, max_own + 1), replace=False) + 1 for _ in range(num_queries)]
    query = np.repeat(np.arange(num_queries), [len(each) for each in own])
    return OwnPairs(
        query=query,
        item=np.concatenate(own).astype(np.int32),
        logit=rng.normal(0.0, 2.0, len(query)).astype(np.float32),
        features=rng.normal(size=(len(query), num_features)).astype(np.float32),
    )


@pytest.mark.parametrize("tile_bytes", [1, 200, 1 << 25])
def test_the_partition_of_others_is_that_of_a_sum(monkeypatch, tile_bytes):
    monkeypatch.setattr(ranking, "TILE_BYTES", tile_bytes)
    rng = np.random.default_rng(0)
    logits = rng.normal(0.0, 30.0, (50, 7)).astype(np.float32)
    pairs = draw_pairs(50, 7, 1, rng, max_own=7)
    found = log_partition_of_others(lambda rows: logits[rows].copy(), pairs, num_queries=50, num_items=7)
    num_empty = 0
    for query in range(50):
        others = np.delete(logits[query].astype(np.float64), pairs.item[pairs.query == query] - 1)
        if len(others):
            assert found[query] == pytest.approx(np.logaddexp.reduce(others), rel=1e-5)
        else:
            num_empty += 1
            assert found[query] == -np.inf
    assert num_empty > 0


def negative_log_posterior(weights, pairs, targets, others, trained):
    """In float64, query by query."""
    value = 0.5 * PRECISION * ((weights - trained) ** 2).sum()
    for query, target in enumerate(targets):
        mine = pairs.query == query
        logit = pairs.logit[mine].astype(np.float64) + pairs.features[mine].astype(np.float64) @ weights
        partition = np.logaddexp.reduce([float(others[query]), *logit])
        is_target = pairs.item[mine] == target
        # A target that is no own item has a logit that does not depend on the weights.
        value += partition - (logit[is_target][0] if is_target.any() else 0.0)
    return value


def fit(pairs, targets, others, trained):
    """Fits, and gives the function too that was minimised."""
    kept = {}

    def minimize(function, start, **settings):
        kept.update(function=function, start=start)
        return original(function, start, **settings)

    from components.train import calibration

    original = calibration.optimize.minimize
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration.optimize, "minimize", minimize)
        return fit_pointer(pairs, targets, others, trained), kept["function"]


@pytest.fixture
def problem():
    rng = np.random.default_rng(1)
    pairs = draw_pairs(60, 9, 3, rng)
    targets = rng.integers(1, 10, 60)
    others = rng.normal(1.0, 1.0, 60).astype(np.float32)
    others[pairs.query[0]] = -np.inf  # as where all items are own
    trained = np.array([0.5, -1.0, 2.0], np.float32)
    return pairs, targets, others, trained


def test_the_gradient_is_that_of_finite_differences(problem):
    _, function = fit(*problem)
    for weights in (np.zeros(3), np.array([1.0, -2.0, 0.3]), problem[3].astype(np.float64)):
        _, gradient = function(weights)
        numerical = [
            (negative_log_posterior(weights + step, *problem) - negative_log_posterior(weights - step, *problem)) / 2e-5
            for step in 1e-5 * np.eye(3)
        ]
        np.testing.assert_allclose(gradient, numerical, rtol=1e-4, atol=1e-4)


def test_what_is_fitted_is_the_minimum(problem):
    fitted, _ = fit(*problem)
    assert fitted.dtype == np.float32
    lowest = negative_log_posterior(fitted.astype(np.float64), *problem)
    for step in 0.02 * np.random.default_rng(0).normal(size=(50, 3)):
        assert negative_log_posterior(fitted + step, *problem) > lowest


def test_known_weights_are_recovered():
    rng = np.random.default_rng(2)
    weights = np.array([1.5, -2.0, 0.5])
    num_queries, num_items = 20_000, 1_000
    pairs = draw_pairs(num_queries, num_items, 3, rng)
    others = rng.normal(1.0, 1.0, num_queries).astype(np.float32)
    total = pairs.logit + pairs.features @ weights
    begin = np.searchsorted(pairs.query, np.arange(num_queries + 1))
    targets = np.zeros(num_queries, np.int64)
    for query in range(num_queries):
        mine = slice(begin[query], begin[query + 1])
        logit = np.append(total[mine], others[query])
        probability = np.exp(logit - np.logaddexp.reduce(logit))
        drawn = rng.choice(len(logit), p=probability / probability.sum())
        targets[query] = np.append(pairs.item[mine], num_items + 1)[drawn]
    fitted = fit_pointer(pairs, targets, others, np.zeros(3, np.float32))
    np.testing.assert_allclose(fitted, weights, atol=0.1)


def test_without_pairs_the_trained_weights_stay():
    pairs = OwnPairs(
        query=np.zeros(0, np.int64),
        item=np.zeros(0, np.int32),
        logit=np.zeros(0, np.float32),
        features=np.zeros((0, 2), np.float32),
    )
    trained = np.array([0.25, -3.0], np.float32)
    np.testing.assert_array_equal(fit_pointer(pairs, np.array([4, 5]), np.ones(2, np.float32), trained), trained)
    nothing = np.zeros(0, np.float32)
    np.testing.assert_array_equal(fit_pointer(pairs, np.zeros(0, np.int64), nothing, trained), trained)
