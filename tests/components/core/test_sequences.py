import numpy as np
import pytest
from factories import make_events
from hypothesis import given
from hypothesis import strategies as st

from components.core.sequences import (
    PADDING,
    Sessions,
    Windows,
    make_batch,
    make_pairs,
    pad_batch,
    plan_batches,
    prefix_batches,
    target_events,
)
from components.core.vocabulary import Vocabulary


def encode(sessions: dict[str, list[str]]) -> Sessions:
    events = make_events(sessions)
    return Sessions.encode(events, Vocabulary.count(events["item_id"]))


def of_lengths(lengths: list[int]) -> Sessions:
    """Sessions whose items are numbered through, so that every event is told apart."""
    offsets = np.cumsum([0, *lengths])
    return Sessions(
        session_ids=np.arange(len(lengths)),  # type: ignore[arg-type]
        items=np.arange(1, offsets[-1] + 1, dtype=np.int32),
        offsets=offsets,
    )


def test_encode_keeps_sessions_and_their_order():
    sessions = encode({"s2": ["a", "b", "a"], "s1": ["a"]})
    assert sessions.session_ids.to_pylist() == ["s2", "s1"]
    assert sessions.items.tolist() == [1, 2, 1, 1]
    assert sessions.offsets.tolist() == [0, 3, 4]


def test_unknown_items_stay_in_their_session():
    vocabulary = Vocabulary.count(make_events({"s": ["a"]})["item_id"])
    assert Sessions.encode(make_events({"t": ["a", "?", "a"]}), vocabulary).items.tolist() == [1, 0, 1]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(0, 60))
def test_a_sample_is_of_whole_sessions_in_their_order(lengths, max_targets):
    sessions = encode({f"s{n}": [f"i{n}"] * length for n, length in enumerate(lengths)})
    drawn = sessions.sample(max_targets, seed=1)
    num_targets = (drawn.lengths - 1).sum()
    everything = max_targets == 0 or max_targets >= sum(lengths) - len(lengths)
    assert drawn.num_sessions == len(lengths) if everything else num_targets <= max_targets or drawn.num_sessions == 1
    if not everything and drawn.num_sessions > 1:
        left_out = set(sessions.session_ids.to_pylist()) - set(drawn.session_ids.to_pylist())
        assert any(num_targets + lengths[int(name[1:])] - 1 > max_targets for name in left_out)
    numbers = [int(name[1:]) for name in drawn.session_ids.to_pylist()]
    assert numbers == sorted(numbers)
    for begin, end, number in zip(drawn.offsets, drawn.offsets[1:], numbers, strict=False):
        assert end - begin == lengths[number]
        assert set(drawn.items[begin:end].tolist()) == {int(sessions.items[sessions.offsets[number]])}


@pytest.mark.parametrize("seed", range(5))
def test_a_session_longer_than_the_sample_neither_fills_nor_empties_it(seed):
    sessions = encode({"bot": ["a"] * 1_000, **{f"s{n}": ["a"] * 3 for n in range(50)}, "single": ["a"]})
    drawn = sessions.sample(60, seed=seed)
    assert "bot" not in drawn.session_ids.to_pylist()
    assert (drawn.lengths - 1).sum() == 60
    assert encode({"bot": ["a"] * 1_000, "other": ["a"] * 500, "single": ["a"]}).sample(
        60, seed=seed
    ).session_ids.to_pylist() == ["other"]


def test_padded_batches_have_few_shapes_and_the_same_targets():
    shapes = set()
    for length in range(1, 300):
        rows = np.arange(max(1, 1024 // length))
        batch = make_batch(data := of_lengths([length + 1] * len(rows)), Windows.cut(data, max_length=300), rows)
        padded = pad_batch(batch, 1024)
        assert padded.items.shape == padded.targets.shape
        assert len(padded.session) == len(padded.items)
        for whole, part in zip(padded, batch, strict=True):
            np.testing.assert_array_equal(whole[tuple(slice(size) for size in part.shape)], part)
        assert (padded.targets != PADDING).sum() == (batch.targets != PADDING).sum()
        assert padded.items.size <= 2 * max(1024, length)
        shapes.add(padded.items.shape)
    assert len(shapes) == 17


def test_concatenate():
    both = Sessions.concatenate(encode({"s": ["a", "b"]}), encode({"t": ["c"], "u": ["d", "c"]}))
    assert both.session_ids.to_pylist() == ["s", "t", "u"]
    assert both.lengths.tolist() == [2, 1, 2]


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6), max_length=st.integers(2, 12))
def test_every_event_but_a_sessions_first_is_the_target_of_one_window(lengths, max_length):
    sessions = of_lengths(lengths)
    windows = Windows.cut(sessions, max_length=max_length)
    batch = make_batch(sessions, windows, np.arange(len(windows.start))) if len(windows.start) else None
    targets = [] if batch is None else batch.targets[batch.targets != PADDING].tolist()
    firsts = set((sessions.offsets[:-1] + 1).tolist())
    assert sorted(targets) == sorted(set(sessions.items.tolist()) - firsts)
    assert windows.num_targets == len(targets)
    if batch is not None:
        # Each target follows the item at its position; items are numbered through.
        scored = batch.targets != PADDING
        assert np.array_equal(batch.items[scored] + 1, batch.targets[scored])
        assert batch.items.shape[1] <= max_length


def test_later_windows_see_half_a_window_of_context():
    sessions = of_lengths([20])
    windows = Windows.cut(sessions, max_length=6)
    batch = make_batch(sessions, windows, np.array([1]))
    assert batch.items.tolist() == [[4, 5, 6, 7, 8, 9]]
    assert batch.targets.tolist() == [[PADDING, PADDING, PADDING, 8, 9, 10]]


def test_pairs_make_every_event_a_target():
    sessions = of_lengths([2, 1])
    batch = make_batch(sessions, make_pairs(sessions), np.arange(3))
    assert batch.session.tolist() == [0, 0, 1]
    assert batch.targets.tolist() == [[1], [2], [3]]


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=50), batch_size=st.integers(1, 64))
def test_batches_hold_every_row_once_within_their_size(lengths, batch_size):
    length = np.array(lengths)
    batches = plan_batches(length, batch_size=batch_size, rng=np.random.default_rng(0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) * length[rows].max() <= batch_size or len(rows) == 1


def test_batches_depend_on_the_seed_alone():
    length = np.random.default_rng(1).integers(1, 9, 100)
    first, again, other = (
        [rows.tolist() for rows in plan_batches(length, batch_size=16, rng=np.random.default_rng(seed))]
        for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other


def test_prefixes_are_what_stands_before_the_target():
    sessions = of_lengths([4, 2])
    prefixes = {
        int(target): [item for item in row if item != PADDING]
        for batch in prefix_batches(sessions, target_events(sessions, min_prefix=1), max_length=2, batch_size=100)
        for target, row in zip(batch.target, batch.items.tolist(), strict=True)
    }
    assert prefixes == {1: [1], 2: [1, 2], 3: [2, 3], 5: [5]}


def test_min_prefix():
    assert target_events(of_lengths([4, 2, 1]), min_prefix=2).tolist() == [2, 3]
    with pytest.raises(ValueError, match=r"Expected min_prefix to be at least 1. Received: 0"):
        target_events(of_lengths([2]), min_prefix=0)
