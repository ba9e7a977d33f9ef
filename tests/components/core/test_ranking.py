import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.core import ranking
from components.core.ranking import NEVER, add_bonus, dot_product, rank_targets

RNG = np.random.default_rng(0)


def brute_force(scores, targets):
    """Rank by sorting, the target behind everything that it ties with."""
    return np.array([(row >= row[target - 1]).sum() for row, target in zip(scores, targets, strict=True)])


@pytest.mark.parametrize("tile_bytes", [1, 4_000, 1 << 25])
def test_equals_brute_force_whatever_the_tile(monkeypatch, tile_bytes):
    monkeypatch.setattr(ranking, "TILE_BYTES", tile_bytes)
    # Whole numbers: exact in float32 in any order of summation, and full of ties.
    queries = RNG.integers(-3, 4, (57, 8)).astype(np.float32)
    candidates = RNG.integers(-3, 4, (101, 8)).astype(np.float32)
    targets = RNG.integers(1, 102, 57).astype(np.int32)
    ranks = rank_targets(dot_product(queries, candidates), targets, num_items=101).ranks
    assert np.array_equal(ranks, brute_force(queries @ candidates.T, targets))


@pytest.mark.parametrize("tile_bytes", [1, 4_000, 1 << 25])
def test_bonuses_count_in_ranks_whatever_the_tile(monkeypatch, tile_bytes):
    monkeypatch.setattr(ranking, "TILE_BYTES", tile_bytes)
    rng = np.random.default_rng(3)
    scores = rng.integers(-9, 10, (57, 101)).astype(np.float32)
    bonuses = np.where(rng.random((57, 101)) < 0.05, rng.integers(-9, 10, (57, 101)), 0).astype(np.float32)
    bonuses[[0, 20, 56]] = 0.0  # queries without any
    query, column = np.nonzero(bonuses)
    score = add_bonus(lambda rows: scores[rows].copy(), query, column, bonuses[query, column])
    targets = rng.integers(1, 102, 57).astype(np.int32)
    ranks = rank_targets(score, targets, num_items=101).ranks
    assert np.array_equal(ranks, brute_force(scores + bonuses, targets))
    for rows in (slice(57), slice(10, 30), slice(50, 100), slice(None)):
        np.testing.assert_array_equal(score(rows), (scores + bonuses)[rows])


def test_a_constant_model_ranks_every_target_last():
    ranks = rank_targets(
        dot_product(np.ones((3, 2), np.float32), np.ones((9, 2), np.float32)), np.array([1, 5, 9]), num_items=9
    ).ranks
    assert ranks.tolist() == [9, 9, 9]


def test_an_unknown_target_is_never_found():
    ranks = rank_targets(
        dot_product(np.ones((2, 2), np.float32), np.eye(2, dtype=np.float32)), np.array([0, 1]), num_items=2
    ).ranks
    assert ranks[0] == NEVER


def test_does_not_depend_on_the_order_of_the_catalogue():
    queries, candidates = RNG.normal(size=(40, 16)).astype(np.float32), RNG.normal(size=(64, 16)).astype(np.float32)
    targets = RNG.integers(0, 64, 40)
    order = RNG.permutation(64)
    place = np.argsort(order)
    straight = rank_targets(dot_product(queries, candidates), targets + 1, num_items=64).ranks
    permuted = rank_targets(dot_product(queries, candidates[order]), place[targets] + 1, num_items=64).ranks
    assert np.array_equal(straight, permuted)


def test_a_model_that_diverged_is_an_error():
    queries = np.array([[np.nan, 1.0]], np.float32)
    with pytest.raises(ValueError, match="Expected finite query embeddings"):
        dot_product(queries, np.ones((2, 2), np.float32))


def test_equals_tfrs_on_untied_scores():
    queries, candidates = RNG.normal(size=(200, 8)).astype(np.float32), RNG.normal(size=(300, 8)).astype(np.float32)
    targets = RNG.integers(1, 301, 200)
    metric = tfrs.metrics.FactorizedTopK(tf.data.Dataset.from_tensor_slices(candidates).batch(50), ks=(5, 20))
    metric.update_state(queries, tf.gather(candidates, targets - 1))
    ranks = rank_targets(dot_product(queries, candidates), targets, num_items=300).ranks
    expected = [float(value) for value in metric.result()]
    assert [(ranks <= k).mean() for k in (5, 20)] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("num_items", "k"), [(5, 5), (30, 4), (1_000, 7)])
def test_top_items_are_the_best(num_items, k):
    scores = RNG.permuted(np.tile(np.arange(num_items, dtype=np.float32), (13, 1)), axis=1)
    ranking = rank_targets(lambda rows: scores[rows], np.ones(13, np.int32), num_items=num_items, top_k=k)
    best = np.argsort(-scores, axis=1)[:, :k] + 1
    assert np.array_equal(np.sort(ranking.top), np.sort(best))
