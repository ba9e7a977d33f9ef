"""Events of the training splits -> vocabulary."""

from pathlib import Path

import pyarrow as pa

from components.core.events import SPLITS, read_split
from components.core.vocabulary import Vocabulary


def make_vocabulary(
    events_dir: Path, vocabulary_path: Path, *, min_item_count: int, include_valid: bool, include_test: bool = False
) -> Vocabulary:
    """Counts the items of train and, with `include_valid`, of valid. Test is only read with `include_test`.

    Args:
        events_dir: the events artifact.
        vocabulary_path: Parquet file to write.
        min_item_count: minimum number of events per item; rarer items are left out and treated as unknown.
        include_valid: whether the final model is also trained on the validation sessions.
        include_test: whether it is trained on all splits.

    Returns:
        The vocabulary that was written.
    """
    splits = SPLITS if include_test else SPLITS[: 2 if include_valid else 1]
    item_ids = pa.chunked_array(
        [chunk for split in splits for chunk in read_split(events_dir, split)["item_id"].cast(pa.string()).chunks],
        pa.string(),
    )
    vocabulary = Vocabulary.count(item_ids, min_count=min_item_count)
    vocabulary.write(vocabulary_path)
    return vocabulary
