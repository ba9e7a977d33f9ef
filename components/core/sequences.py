"""Sessions as flat arrays, and padded batches of sessions."""

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.core.vocabulary import Vocabulary

PADDING = -1  # no event, unlike UNKNOWN, which is an event with an item that is not in the vocabulary

PADDED_LENGTHS = (0, 1, *sorted(factor << shift for factor in (2, 3) for shift in range(16)))  # 2, 3, 4, 6, 8, 12, ...

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Sessions in one flat array, in the order of the events artifact.

    Attributes:
        session_ids: [num_sessions] strings.
        items: [num_events] int32 item indices.
        offsets: [num_sessions + 1] int64; session i holds the events offsets[i] to offsets[i + 1].
    """

    session_ids: pa.StringArray
    items: Ints
    offsets: npt.NDArray[np.int64]

    @property
    def num_sessions(self) -> int:
        """Number of sessions."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """[num_sessions] number of events of each session."""
        return np.diff(self.offsets)

    @classmethod
    def encode(cls, events: pa.Table, vocabulary: Vocabulary) -> "Sessions":
        """Encodes a split of the events artifact, in which the rows of a session are consecutive."""
        session = events["session_id"].combine_chunks()
        if not pa.types.is_dictionary(session.type):
            session = session.dictionary_encode()
        code = session.indices.to_numpy(zero_copy_only=False)
        starts = np.flatnonzero(np.diff(code, prepend=-1))
        return cls(
            session_ids=session.dictionary.cast(pa.string()).take(pa.array(code[starts])),
            items=vocabulary.encode(events["item_id"]),
            offsets=np.append(starts, len(code)).astype(np.int64),
        )

    def sample(self, max_targets: int, *, seed: int) -> "Sessions":
        """Samples whole sessions with a total of at most `max_targets` targets.

        Sessions with more than `max_targets` targets are excluded. If no sampled session has a target, the sample is
        the shortest session that has one.

        Args:
            max_targets: maximum number of targets (all events except the first of each session); 0 for no limit.
            seed: random seed of the sample.
        """
        num_targets = self.lengths - 1
        if max_targets == 0 or num_targets.sum() <= max_targets:
            return self
        drawn = np.random.default_rng(seed).permutation(self.num_sessions)
        drawn = drawn[num_targets[drawn] <= max_targets]
        num_kept = np.searchsorted(np.cumsum(num_targets[drawn]), max_targets, side="right")
        kept = np.sort(drawn[:num_kept])
        if num_targets[kept].sum() == 0:
            kept = np.array([np.where(num_targets > 0, num_targets, num_targets.max()).argmin()])
        is_kept = np.zeros(self.num_sessions, np.bool_)
        is_kept[kept] = True
        return Sessions(
            session_ids=self.session_ids.take(pa.array(kept)),
            items=self.items[np.repeat(is_kept, self.lengths)],
            offsets=np.append(0, np.cumsum(self.lengths[kept])),
        )

    @classmethod
    def concatenate(cls, first: "Sessions", second: "Sessions") -> "Sessions":
        """The sessions of `first` followed by those of `second`."""
        return cls(
            session_ids=pa.concat_arrays([first.session_ids, second.session_ids]),
            items=np.concatenate([first.items, second.items]),
            offsets=np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]]),
        )


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Parts of sessions that a query tower reads in one pass; position i predicts position i + 1.

    A session of up to `max_length + 1` events is one window. A longer session is cut into windows that overlap by
    half. Each event, except the first of a session, is the target of exactly one window.

    Attributes:
        session: [num_windows] int64, position of the session in `Sessions`.
        start: [num_windows] int64, index of the first event in `Sessions.items`.
        length: [num_windows] int64, number of positions, which is one less than the number of events.
        skipped: [num_windows] int64, number of leading positions whose targets belong to the previous window.
    """

    session: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    skipped: npt.NDArray[np.int64]

    @property
    def num_targets(self) -> int:
        """Number of targets: all events except the first of each session."""
        return int((self.length - self.skipped).sum())

    @classmethod
    def cut(cls, sessions: Sessions, *, max_length: int) -> "Windows":
        """Cuts sessions into windows of at most `max_length` positions.

        Raises:
            ValueError: `max_length` is below 2.
        """
        if max_length < 2:
            raise ValueError(f"Expected max_session_length to be at least 2. Received: {max_length}")
        positions = sessions.lengths - 1
        step = max_length // 2
        num_windows = np.where(positions > 0, 1 + -(-np.maximum(positions - max_length, 0) // step), 0)
        session = np.repeat(np.arange(sessions.num_sessions), num_windows)
        within = np.arange(len(session)) - np.repeat(np.cumsum(num_windows) - num_windows, num_windows)
        begin = within * step
        return cls(
            session=session,
            start=sessions.offsets[session] + begin,
            length=np.minimum(positions[session] - begin, max_length),
            skipped=np.where(within > 0, max_length - step, 0),
        )


class Batch(NamedTuple):
    """One padded batch.

    Attributes:
        session: [batch_size] int32, position of the session in `Sessions`.
        items: [batch_size, length] int32 item indices, padded at the end with PADDING.
        targets: [batch_size, length] int32 index of the next item; PADDING at positions that are not scored.
    """

    session: Ints
    items: Ints
    targets: Ints


def make_batch(sessions: Sessions, windows: Windows, rows: npt.NDArray[np.int64]) -> Batch:
    """Makes a batch of the windows with the positions `rows`, padded to their maximum length."""
    length = windows.length[rows]
    column = np.arange(length.max())
    within = column < length[:, None]
    position = np.where(within, windows.start[rows][:, None] + column, 0)
    scored = within & (column >= windows.skipped[rows][:, None])
    return Batch(
        session=windows.session[rows].astype(np.int32),
        items=np.where(within, sessions.items[position], PADDING).astype(np.int32),
        targets=np.where(scored, sessions.items[position + within], PADDING).astype(np.int32),
    )


def pad_batch(batch: Batch, batch_size: int) -> Batch:
    """Pads a batch to one of a few shapes, because XLA compiles once per shape.

    The length is padded to 1, 2, 3, 4, 6, 8, 12, 16, 24, ..., and the number of rows to the maximum for that length.

    Args:
        batch: a batch from `plan_batches` with the same `batch_size`, or a part of one.
        batch_size: maximum number of positions of a batch.
    """
    num_rows, length = batch.items.shape
    number = bisect.bisect_left(PADDED_LENGTHS, length)
    shortest = PADDED_LENGTHS[number - 1] + 1
    num_padded = max(num_rows, batch_size // shortest)
    padding = [(0, num_padded - num_rows), (0, PADDED_LENGTHS[number] - length)]
    return Batch(
        session=np.pad(batch.session, padding[0]),
        items=np.pad(batch.items, padding, constant_values=PADDING),
        targets=np.pad(batch.targets, padding, constant_values=PADDING),
    )


def make_pairs(sessions: Sessions) -> Windows:
    """Makes one window per event, including first events, for the query tower that reads only the session id."""
    lengths = sessions.lengths
    num_events = len(sessions.items)
    return Windows(
        session=np.repeat(np.arange(sessions.num_sessions), lengths),
        start=np.arange(num_events) - 1,
        length=np.ones(num_events, np.int64),
        skipped=np.zeros(num_events, np.int64),
    )


def plan_batches(
    length: npt.NDArray[np.int64], *, batch_size: int, rng: np.random.Generator | None = None
) -> list[npt.NDArray[np.int64]]:
    """Groups rows of similar length into batches of at most `batch_size` positions to reduce padding.

    Args:
        length: [num_rows] number of positions of each row.
        batch_size: maximum number of positions in a batch, including padding; a longer row is its own batch.
        rng: shuffles the batches and the rows of equal length; None for no shuffling.

    Returns:
        Row numbers of each batch. Each row is in exactly one batch.
    """
    order = np.arange(len(length)) if rng is None else rng.permutation(len(length))
    order = order[np.argsort(length[order], kind="stable")]
    batches = []
    end = len(order)
    while end > 0:
        # The last row is the longest, so it determines the padded length.
        num_rows = max(1, batch_size // int(length[order[end - 1]]))
        batches.append(order[max(0, end - num_rows) : end])
        end -= num_rows
    if rng is not None:
        rng.shuffle(batches)
    return batches


class PrefixBatch(NamedTuple):
    """Session prefixes, each with the event that follows it.

    Attributes:
        target: [batch_size] int64, index of the next event in `Sessions.items`.
        session: [batch_size] int64, position of the session in `Sessions`.
        items: [batch_size, length] int32 item indices, padded at the end with PADDING.
    """

    target: npt.NDArray[np.int64]
    session: npt.NDArray[np.int64]
    items: Ints


def target_events(sessions: Sessions, *, min_prefix: int) -> npt.NDArray[np.int64]:
    """Indices in `Sessions.items` of the events that at least `min_prefix` events of their session precede.

    Raises:
        ValueError: `min_prefix` is below 1.
    """
    if min_prefix < 1:
        raise ValueError(f"Expected min_prefix to be at least 1. Received: {min_prefix}")
    position = np.arange(len(sessions.items)) - np.repeat(sessions.offsets[:-1], sessions.lengths)
    return np.flatnonzero(position >= min_prefix)


def prefix_batches(
    sessions: Sessions, targets: npt.NDArray[np.int64], *, max_length: int, batch_size: int
) -> Iterator[PrefixBatch]:
    """Yields batches of the prefixes of the targets, each truncated to its last `max_length` events."""
    session = np.searchsorted(sessions.offsets, targets, side="right") - 1
    length = np.minimum(targets - sessions.offsets[session], max_length)
    for rows in plan_batches(length, batch_size=batch_size):
        column = np.arange(length[rows].max())
        within = column < length[rows][:, None]
        position = np.where(within, (targets[rows] - length[rows])[:, None] + column, 0)
        items = np.where(within, sessions.items[position], PADDING).astype(np.int32)
        yield PrefixBatch(target=targets[rows], session=session[rows], items=items)
