"""Generates the session log of a simulated shop, for the first run and for tests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.core.events import SPLITS

DAY_MS = 86_400_000
FIRST_DAY_MS = 1_735_689_600_000  # 2025-01-01T00:00Z


@dataclass(frozen=True, kw_only=True)
class SampleLog:
    """Parameters of the simulated shop.

    Items are arranged on shelves. A session starts with an item sampled by popularity (Zipf, a long tail). Each further
    event moves along the shelf in the direction of the session, repeats an item of the session, or samples another item
    by popularity. So the last items predict the next one far better than popularity does, and their order gives the
    direction.

    Attributes:
        num_items: number of items.
        shelf_size: number of items on a shelf.
        num_sessions: number of sessions.
        num_days: length of the log; the last 7 days are the test week, the 7 days before it the validation week.
        mean_length: mean number of events per session, at least 2.
        share_new: share of items that first become available during the test week.
        seed: random seed.
    """

    num_items: int = 2_000
    shelf_size: int = 50
    num_sessions: int = 30_000
    num_days: int = 60
    mean_length: float = 3.5
    share_new: float = 0.02
    seed: int = 42

    def write(self, folder: Path) -> dict[str, Path]:
        """Writes train.tsv, valid.tsv and test.tsv and returns their paths by split."""
        folder.mkdir(parents=True, exist_ok=True)
        start, rows = self._draw()
        day = (start - FIRST_DAY_MS) // DAY_MS
        split = np.where(day < self.num_days - 14, 0, np.where(day < self.num_days - 7, 1, 2))
        paths = {}
        for number, name in enumerate(SPLITS):
            paths[name] = folder / f"{name}.tsv"
            with paths[name].open("w", encoding="utf-8") as file:
                file.write("SessionId\tItemId\tTime\n")
                for session in np.flatnonzero(split == number):
                    file.writelines(f"s{session}\t{item}\t{time}\n" for item, time in rows[session])
        return paths

    def _draw(self) -> tuple[npt.NDArray[np.int64], list[list[tuple[str, int]]]]:
        """Returns start times [num_sessions] and, for each session, its items and times."""
        rng = np.random.default_rng(self.seed)
        rank = rng.permutation(self.num_items)
        weight = 1.0 / (10.0 + rank)
        on_sale_ms = np.full(self.num_items, FIRST_DAY_MS)
        new = rng.choice(self.num_items, round(self.share_new * self.num_items), replace=False)
        on_sale_ms[new] += (self.num_days - 7) * DAY_MS + rng.integers(0, 7 * DAY_MS, len(new))
        start = np.sort(FIRST_DAY_MS + rng.integers(0, self.num_days * DAY_MS, self.num_sessions))
        # Geometric session lengths, at least 2.
        length = 1 + rng.geometric(1.0 / (self.mean_length - 1.0), self.num_sessions)
        sessions = []
        for begin, num_events in zip(start, length, strict=True):
            available = np.where(on_sale_ms <= begin, weight, 0.0)
            sessions.append(self._walk(rng, available, int(begin), int(num_events)))
        return start, sessions

    def _walk(
        self, rng: np.random.Generator, weight: npt.NDArray[np.float64], begin: int, num_events: int
    ) -> list[tuple[str, int]]:
        """Returns the items and times of one session; items of weight 0 are not available."""
        cumulative = np.cumsum(weight)
        item = _draw(rng, cumulative)
        direction = 1 if rng.random() < 0.5 else -1
        history = [item]
        times = [begin]
        while len(history) < num_events:
            dice = rng.random()
            if dice < 0.2:
                item = history[rng.integers(len(history))]
            elif dice < 0.4:
                item = _draw(rng, cumulative)
            else:
                shelf, place = divmod(item, self.shelf_size)
                place = (place + direction * int(rng.geometric(0.25))) % self.shelf_size
                neighbour = min(shelf * self.shelf_size + place, self.num_items - 1)
                item = neighbour if weight[neighbour] else item
            history.append(item)
            times.append(times[-1] + int(rng.exponential(60_000)) + 1_000)
        return [(f"i{each}", time) for each, time in zip(history, times, strict=True)]


def _draw(rng: np.random.Generator, cumulative: npt.NDArray[np.float64]) -> int:
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
