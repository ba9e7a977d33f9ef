import numpy as np
import pyarrow as pa

from components.core.events import SCHEMA
from components.core.vocabulary import Vocabulary
from pipeline.sample_log import SampleLog

# Where a cluster would find the logs.
PATHS = {f"{split}_path": f"s3://logs/{split}.tsv" for split in ("train", "valid", "test")}

# Ids that a log may hold, and that text files, shells, terminals or a careless comparison change or confuse.
HOSTILE_IDS = [
    "plain", "two words", " leading", "trailing ", "tab\tinside", "a,b", "a;b|c", "it's", 'say "hi"', "`$(x)`", "\\n",
    "back\\slash", "crème brûlée", "cre\u0300me", "cr\u00e8me", "STRASSE", "straße", "商品", "日本 語", "한국어",
    "العربية", "🛒", "👩\u200d👩\u200d👧", "\ufeffBOM", "\u202egnirts", "line\u2028separator", "next\x85line",
    "ends in CR\r", "ends in CR", "\r", "in\rside", "ends in LF\n", "ends in LF", "\n", "two\nlines", "two\r\nlines",
    "\x01\x1b[31m\x7f", "[UNK]", "<b>&amp;</b>", "-1", "0", "007", "7", "1e5", "nan", "None", "%s {} {0}", "[a]*?",
    "../up", "x" * 300,
]  # fmt: skip

SMALL_LOG = SampleLog(num_items=200, shelf_size=20, num_sessions=3_000, num_days=30, share_new=0.05)


def make_events(sessions: dict[str, list[str]], begin: int = 1_000) -> pa.Table:
    """Events of the sessions, each of which starts a second after the one before."""
    rows = [
        (session_id, item_id, begin + 1_000 * number + place)
        for number, (session_id, item_ids) in enumerate(sessions.items())
        for place, item_id in enumerate(item_ids)
    ]
    return pa.table(list(map(list, zip(*rows, strict=True))), schema=SCHEMA)


def make_vocabulary_of(item_ids: list[str]) -> Vocabulary:
    """A vocabulary of the items, in this order, from the one with the most events."""
    return Vocabulary(item_ids=pa.array(item_ids), counts=np.arange(len(item_ids), 0, -1))


def make_hostile_id(number: int) -> str:
    """Another id for each number: those of `HOSTILE_IDS` first, then the same behind a number in brackets."""
    turn, place = divmod(number, len(HOSTILE_IDS))
    return f"({turn}){HOSTILE_IDS[place]}" if turn else HOSTILE_IDS[place]
