"""The catalogue as the model sees it: a map of the items, and the nearest neighbours of a few."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from components.core.vocabulary import Vocabulary
from components.report.charts import draw_map
from components.report.items import Item

MAX_POINTS = 1_500  # items on the map; more would make the report large and the map dense
NUM_MARKED = 8
NUM_NEIGHBOURS = 5
MARKED_SHARE = 0.5  # the items whose neighbours are shown are among those that make up this share of the events

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The embeddings of the catalogue.

    Attributes:
        vocabulary: the items and their counts.
        embeddings: [num_items, dimension] embeddings of the candidate tower, L2-normalised.
        marked: [num_marked] rows of the items whose neighbours are shown.
        neighbours: [num_marked, num_neighbours] rows of their nearest neighbours, the nearest first.
    """

    vocabulary: Vocabulary
    embeddings: Floats
    marked: npt.NDArray[np.int64]
    neighbours: npt.NDArray[np.int64]

    @classmethod
    def read(cls, embeddings_path: Path, vocabulary: Vocabulary) -> "Catalogue":
        """Reads embeddings.parquet, whose rows are in the order of the vocabulary.

        Raises:
            ValueError: the ids differ from those of the vocabulary.
        """
        table = pq.read_table(embeddings_path)
        if not table["item_id"].combine_chunks().equals(vocabulary.item_ids):
            raise ValueError(f"Expected the items of the vocabulary in {embeddings_path.name}. Received: other items")
        column = table["embedding"].combine_chunks()
        embeddings = column.flatten().to_numpy().reshape(len(column), -1)
        # Without the coordinate of the trend, which says how popular an item is now, not what it is like.
        embeddings = embeddings[:, : json.loads(table.schema.metadata[b"embedding_dim"])]
        embeddings = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
        marked = choose_marked(vocabulary.counts)
        return cls(
            vocabulary=vocabulary,
            embeddings=embeddings,
            marked=marked,
            neighbours=find_neighbours(embeddings, marked, NUM_NEIGHBOURS),
        )

    def list_items(self) -> Iterator[str]:
        """Yields the ids that the section shows."""
        for row in np.concatenate([self.marked, self.neighbours.ravel()]):
            yield self.vocabulary.item_ids[int(row)].as_py()

    def describe(self, look_up: Callable[[str], Item]) -> dict[str, Any]:
        """Returns the fifth section.

        Args:
            look_up: returns what is shown of an item.
        """
        place, share = project(self.embeddings)
        counts = self.vocabulary.counts
        shown = choose_points(len(counts))
        points = [
            {"x": float(x), "y": float(y), "count": int(count)}
            for (x, y), count in zip(place[shown], counts[shown], strict=True)
        ]
        marked = [
            {"x": float(place[row, 0]), "y": float(place[row, 1]), "number": number}
            for number, row in enumerate(self.marked, 1)
        ]

        def item(row: int) -> Item:
            return look_up(self.vocabulary.item_ids[int(row)].as_py())

        return {
            "chart": draw_map(points, marked, title="Map of the items"),
            "num_shown": len(shown),
            "num_items": len(counts),
            "share": share,
            "marked": [
                {
                    "item": item(row),
                    "count": int(counts[row]),
                    "neighbours": [
                        {"item": item(other), "similarity": float(self.embeddings[row] @ self.embeddings[other])}
                        for other in others
                    ],
                }
                for row, others in zip(self.marked, self.neighbours, strict=True)
            ],
        }


def choose_marked(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Chooses items for the list, evenly over those that make up MARKED_SHARE of the events.

    Args:
        counts: [num_items] number of events of each item, in descending order.
    """
    num_common = max(NUM_MARKED, 1 + int(np.searchsorted(np.cumsum(counts), MARKED_SHARE * counts.sum())))
    last = min(num_common, len(counts)) - 1
    return np.unique(np.linspace(0, last, NUM_MARKED).astype(np.int64))


def choose_points(num_items: int) -> npt.NDArray[np.int64]:
    """Chooses the items on the map: all or, of a large catalogue, MAX_POINTS evenly over the ranks by popularity."""
    return np.unique(np.linspace(0, num_items - 1, MAX_POINTS).astype(np.int64))


def find_neighbours(embeddings: Floats, rows: npt.NDArray[np.int64], k: int) -> npt.NDArray[np.int64]:
    """Finds the other items with the highest cosine similarity, [num_rows, k] or fewer columns in a small catalogue.

    Args:
        embeddings: [num_items, dimension] L2-normalised.
        rows: [num_rows] the items.
        k: number of neighbours.
    """
    similarity = embeddings[rows] @ embeddings.T
    similarity[np.arange(len(rows)), rows] = -np.inf
    order: npt.NDArray[np.int64] = np.argsort(-similarity, axis=1, kind="stable")[:, : min(k, len(embeddings) - 1)]
    return order


def project(embeddings: Floats) -> tuple[Floats, float]:
    """Projects onto the two principal components (Pearson 1901).

    Returns:
        [num_items, 2] coordinates, and the share of the variance that they keep.
    """
    centred = embeddings - embeddings.mean(axis=0)
    variances, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    axes = axes[:, ::-1][:, :2]
    # An eigenvector's sign is arbitrary; the largest coordinate is made positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    place = centred @ axes.astype(np.float32)
    if place.shape[1] < 2:
        place = np.column_stack([place, np.zeros(len(place), np.float32)])
    return place, float(variances[::-1][:2].sum() / max(variances.sum(), 1e-300))
