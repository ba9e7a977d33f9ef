"""The vocabulary: item ids and their indices."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.core.presentation import list_names

UNKNOWN = 0  # index of every item that is not in the vocabulary

SCHEMA = pa.schema([("item_id", pa.string()), ("index", pa.int32()), ("count", pa.int64())])


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The items that a model knows; `item_ids[i]` has index `i + 1`, and index 0 is the unknown item.

    Attributes:
        item_ids: [num_items] strings, sorted by descending count, then by id.
        counts: [num_items] int64, number of events of each item.
    """

    item_ids: pa.StringArray
    counts: npt.NDArray[np.int64]

    @property
    def num_items(self) -> int:
        """Number of known items, which is also the largest index."""
        return len(self.item_ids)

    @classmethod
    def count(cls, item_ids: pa.ChunkedArray, *, min_count: int = 1) -> "Vocabulary":
        """Counts the items of events and keeps those with at least `min_count` events.

        Raises:
            ValueError: `min_count` is below 1, or no item has that many events.
        """
        if min_count < 1:
            raise ValueError(f"Expected min_item_count to be at least 1. Received: {min_count}")
        table = pa.table({"item_id": item_ids.cast(pa.string())}).group_by("item_id").aggregate([([], "count_all")])
        kept = table.filter(pc.field("count_all") >= min_count)
        if kept.num_rows == 0:
            raise ValueError(
                f"Expected at least one item with {min_count} events. "
                f"Received: {table.num_rows} items in {len(item_ids)} events, none with that many events"
            )
        kept = kept.sort_by([("count_all", "descending"), ("item_id", "ascending")]).combine_chunks()
        return cls(
            item_ids=kept["item_id"].combine_chunks(),
            counts=kept["count_all"].to_numpy().astype(np.int64),
        )

    @classmethod
    def read(cls, path: Path) -> "Vocabulary":
        """Reads a vocabulary artifact.

        Raises:
            ValueError: the columns or the indices differ from those that `write` writes.
        """
        table = pq.read_table(path)
        if table.schema.names != SCHEMA.names:
            found = list_names(table.schema.names, quoted=True)
            raise ValueError(f"Expected a vocabulary with the columns {SCHEMA.names}. Received: [{found}]")
        if not np.array_equal(table["index"].to_numpy(), np.arange(1, table.num_rows + 1)):
            raise ValueError(f"Expected the indices 1 to {table.num_rows} in order. Received: other indices in {path}")
        return cls(item_ids=table["item_id"].combine_chunks(), counts=table["count"].to_numpy())

    def write(self, path: Path) -> None:
        """Writes the vocabulary as Parquet with the columns item_id, index, count."""
        index = np.arange(1, self.num_items + 1, dtype=np.int32)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table([self.item_ids, index, self.counts], schema=SCHEMA), path, compression="zstd")

    def encode(self, item_ids: pa.ChunkedArray) -> npt.NDArray[np.int32]:
        """Maps ids [num_events] to indices [num_events]; unknown ids map to UNKNOWN."""
        encoded = item_ids.combine_chunks()
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        of_distinct = pc.index_in(encoded.dictionary.cast(pa.string()), value_set=self.item_ids)
        index = pc.fill_null(of_distinct, -1).to_numpy(zero_copy_only=False).astype(np.int32) + 1
        codes: npt.NDArray[np.int32] = encoded.indices.to_numpy(zero_copy_only=False)
        return np.asarray(index[codes], np.int32)
