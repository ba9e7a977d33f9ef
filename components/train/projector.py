"""The item embeddings for TensorBoard's projector."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

MAX_ITEMS = 5_000  # the most popular ones; the page becomes slow with more
CONFIG = """embeddings {
  tensor_name: "items"
  tensor_path: "items.tsv"
  metadata_path: "items-metadata.tsv"
}
"""


def write_projector(
    item_ids: pa.StringArray, counts: npt.NDArray[np.int64], embeddings: npt.NDArray[np.float32], folder: Path
) -> None:
    r"""Writes the embeddings of the most popular items, their ids, and the configuration that TensorBoard looks for.

    Tabs and line ends in ids are written as `\t`, `\n` and `\r`.

    Args:
        item_ids: [num_items] ids of the vocabulary, by descending count.
        counts: [num_items] number of events of each item.
        embeddings: [num_items, dimension] candidate embeddings.
        folder: the folder of the TensorBoard logs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "items.tsv", embeddings[:MAX_ITEMS], fmt="%.4f", delimiter="\t")
    escapes = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})
    ids = [item_id.translate(escapes) for item_id in item_ids.slice(0, MAX_ITEMS).to_pylist()]
    lines = [f"{item_id}\t{count}\n" for item_id, count in zip(ids, counts[:MAX_ITEMS].tolist(), strict=True)]
    (folder / "items-metadata.tsv").write_text("".join(["item\tevents\n", *lines]), encoding="utf-8", newline="\n")
    (folder / "projector_config.pbtxt").write_text(CONFIG)
