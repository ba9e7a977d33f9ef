"""Maps text ids to integers and back."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


class Numbering:
    """Maps staged text ids to integers, which DuckDB joins and sorts several times as fast.

    Items are numbered by their length in characters and then by their bytes, visitors in order of occurrence. Each
    distinct text is kept in memory once.

    Args:
        paths: the staged Parquet files; all events of a visitor are in the same file.
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
        """Reads the events of a file, with ids as int32. Each file must be read only once."""
        events = pq.read_table(path, use_threads=False, read_dictionary=["item"])
        visitor = events["visitor"].cast(pa.large_string()).combine_chunks().dictionary_encode()
        visitors = pc.add_checked(visitor.indices, pa.scalar(len(self.visitors), pa.int32()))
        self.visitors = pa.concat_arrays([self.visitors, visitor.dictionary])
        item = events["item"].unify_dictionaries().combine_chunks()
        items = pc.index_in(item.dictionary.cast(pa.large_string()), self.items).take(item.indices)
        return pa.table([visitors, items, *events.columns[2:]], names=events.column_names).combine_chunks()

    def to_texts(self, events: pa.RecordBatch) -> pa.RecordBatch:
        """Replaces the integers of events by the texts of the ids."""
        texts = {
            name: all_texts.take(events[name]).cast(pa.string())
            for name, all_texts in (("visitor", self.visitors), ("item", self.items))
        }
        return pa.RecordBatch.from_pydict({name: texts.get(name, events[name]) for name in events.schema.names})
