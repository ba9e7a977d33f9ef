"""The rank of each target as a Parquet file, by which runs on the same test sessions are compared."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.metrics import Ranks
from components.core.sequences import Sessions

NOT_RANKED = 0  # rank of a target that a model was not asked for; null in the file


def write_ranks(
    ranks: Mapping[str, Ranks], sessions: Sessions, events: npt.NDArray[np.int64], ranks_path: Path
) -> None:
    """Writes one row per target, in the order of the targets.

    Columns: `session`, the hash of the session id; `position`, the number of events before the target in its session;
    and the target's rank for each model. A rank is int64 from 1: `ranking.NEVER`, the largest int64, for an item that
    is not in the model's catalogue, and null for a target that the model was not asked for.

    Args:
        ranks: [num_targets] ranks by the name of the model; NOT_RANKED for targets that it was not asked for.
        sessions: the test sessions.
        events: [num_targets] indices of the targets in `sessions.items`.
        ranks_path: the file to write.
    """
    session = np.searchsorted(sessions.offsets, events, side="right") - 1
    columns = {
        "session": pa.array(hash_ids(sessions.session_ids)[session]),
        "position": pa.array((events - sessions.offsets[session]).astype(np.int32)),
        **{name: pa.array(each, mask=each == NOT_RANKED) for name, each in ranks.items()},
    }
    ranks_path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), ranks_path, compression="zstd")


def hash_ids(ids: pa.StringArray) -> npt.NDArray[np.int64]:
    """Returns the first 8 bytes of the BLAKE2b hash of each id's UTF-8, as a little-endian int64, [num_ids]."""
    digests = b"".join(hashlib.blake2b(each.encode(), digest_size=8).digest() for each in ids.to_pylist())
    return np.frombuffer(digests, "<i8")
