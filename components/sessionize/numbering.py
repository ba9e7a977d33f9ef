"""Ids that are texts as numbers, and back."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


class Numbering:
    """Gives staged ids that are texts numbers, which are joined and sorted several times as fast.

    Items are numbered in the order of their lengths in characters and then of their bytes, visitors as they come. The
    texts of all of them stay in memory, each once.

    Args:
        paths: of the staged Parquet files, each with visitors of its own.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        items = pa.array([], pa.large_string())
        for path in paths:
            chunks = pq.read_table(path, columns=["item"], read_dictionary=["item"])["item"].chunks
            texts = [chunk.dictionary.cast(pa.large_string()) for chunk in chunks]
            items = pc.unique(pa.chunked_array([items, *texts]))
        by_length = pa.table([pc.utf8_length(items), items], names=["length", "item"])
        order = pc.sort_indices(by_length, [("length", "ascending"), ("item", "ascending")])
        self.items = items.take(order)
        self.visitors = pa.array([], pa.large_string())

    def read(self, path: Path) -> pa.Table:
        """The events of one of the files, their ids as int32; each file is to be read once."""
        events = pq.read_table(path, use_threads=False, read_dictionary=["item"])
        visitor = events["visitor"].cast(pa.large_string()).combine_chunks().dictionary_encode()
        visitors = pc.add_checked(visitor.indices, pa.scalar(len(self.visitors), pa.int32()))
        self.visitors = pa.concat_arrays([self.visitors, visitor.dictionary])
        item = events["item"].unify_dictionaries().combine_chunks()
        items = pc.index_in(item.dictionary.cast(pa.large_string()), self.items).take(item.indices)
        return pa.table([visitors, items, *events.columns[2:]], names=events.column_names).combine_chunks()

    def to_texts(self, events: pa.RecordBatch) -> pa.RecordBatch:
        """Events with the texts of their ids."""
        texts = {
            name: all_texts.take(events[name]).cast(pa.string())
            for name, all_texts in (("visitor", self.visitors), ("item", self.items))
        }
        return pa.RecordBatch.from_pydict({name: texts.get(name, events[name]) for name in events.schema.names})
