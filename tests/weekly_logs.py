"""Logs with sessions of several weeks, for consecutive retrainings, and what may be wrong with the newest one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.sample_log import FIRST_DAY_MS, SampleLog

DAY_MS = 86_400_000
# The logs have sessions already. Times of queries depend on the machine. The model is small, and need not be as good as
# the best baselines. Few items, each seen every week, so that no event of last week loses its item.
WEEKLY_SETTINGS = [
    "session_column=SessionId", "item_column=ItemId", "time_column=Time", "event_column=", "query_tower=mean",
    "embedding_dim=16", "num_negatives=64", "learning_rate=0.02", "max_epochs=2", "gate_min_targets=200",
    "gate_max_mean_loss=0.6", "gate_max_interval_loss=0.7", "gate_max_p99_ms=100000", "gate_max_lost_share=0.2",
]  # fmt: skip
WEEKS = ("2025-01-31", "2025-02-07", "2025-02-14")  # each is the end of a log of 30, 37 and 44 days
SHOP = SampleLog(num_items=200, shelf_size=20, num_sessions=4_500, num_days=44, share_new=0.0)
NEWEST_WEEK = FIRST_DAY_MS + 37 * DAY_MS  # its first moment

Row = tuple[str, str, int]
Change = Callable[[list[Row], list[str]], list[Row]]  # new rows of the newest week, by the old ones and the catalogue


def read_rows(folder: Path) -> list[Row]:
    """Reads all rows of a folder with tab-separated files."""
    rows = []
    for path in sorted(folder.glob("*.tsv")):
        for line in path.read_text().splitlines()[1:]:
            session, item, time = line.split("\t")
            rows.append((session, item, int(time)))
    return rows


def is_in_milliseconds(folder: Path) -> bool:
    """Whether the times of a log are in milliseconds; seconds otherwise."""
    return read_rows(folder)[0][2] > 100_000_000_000


def write_rows(rows: list[Row], folder: Path) -> Path:
    folder.mkdir(parents=True)
    lines = ["SessionId\tItemId\tTime", *("\t".join(map(str, row)) for row in rows)]
    (folder / "log.tsv").write_text("\n".join(lines) + "\n")
    return folder


def write_changed(log: Path, folder: Path, change: Change, *, since: int = NEWEST_WEEK) -> Path:
    """Writes a log whose rows since a time, in milliseconds, are changed."""
    rows = read_rows(log)
    older, newer = ([row for row in rows if (row[2] >= since) == is_newer] for is_newer in (False, True))
    return write_rows([*older, *change(newer, sorted({item for _, item, _ in rows}))], folder)


def click_at_random(rows: list[Row], catalogue: list[str]) -> list[Row]:
    """The same sessions at the same times, with clicks on any item of the catalogue."""
    clicked = np.random.default_rng(0).integers(len(catalogue), size=len(rows))
    return [(session, catalogue[number], time) for (session, _, time), number in zip(rows, clicked, strict=True)]


def lose_items(rows: list[Row], catalogue: list[str]) -> list[Row]:
    """Without the events of 30% of the items."""
    gone = set(np.random.default_rng(0).choice(catalogue, round(0.3 * len(catalogue)), replace=False))
    return [row for row in rows if row[1] not in gone]


def write_successors(folder: Path, *, num_items: int = 200, num_sessions: int = 4_000, num_days: int = 30) -> Path:
    """Writes a log in which each item has four successors, all as likely: a Markov chain is the best there can be."""
    rng = np.random.default_rng(0)
    successors = np.array([rng.choice(num_items, 4, replace=False) for _ in range(num_items)])
    rows: list[Row] = []
    for session, begin in enumerate(np.sort(FIRST_DAY_MS + rng.integers(0, num_days * DAY_MS, num_sessions))):
        item = rng.integers(num_items)
        for place in range(6):
            rows.append((f"s{session}", f"i{item}", int(begin) + 1_000 * place))
            item = rng.choice(successors[item])
    return write_rows(rows, folder)
