import pyarrow as pa

from components.core.events import SCHEMA
from pipeline.sample_log import SampleLog

# Where a cluster would find the logs.
PATHS = {f"{split}_path": f"s3://logs/{split}.tsv" for split in ("train", "valid", "test")}

SMALL_LOG = SampleLog(num_items=200, shelf_size=20, num_sessions=3_000, num_days=30, share_new=0.05)


def make_events(sessions: dict[str, list[str]], begin: int = 1_000) -> pa.Table:
    """Events of the sessions, each of which starts a second after the one before."""
    rows = [
        (session_id, item_id, begin + 1_000 * number + place)
        for number, (session_id, item_ids) in enumerate(sessions.items())
        for place, item_id in enumerate(item_ids)
    ]
    return pa.table(list(map(list, zip(*rows, strict=True))), schema=SCHEMA)
