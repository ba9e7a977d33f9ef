"""Three TSVs of sessions -> the events artifact."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from components.core.events import SCHEMA, SPLITS, sort_events, write_split

SAMPLE_UNITS = ("sessions", "events")


@dataclass(frozen=True, kw_only=True)
class IngestParameters:
    """Parameters of the `ingest` step.

    Attributes:
        session_column: header of the session id.
        item_column: header of the item id.
        time_column: header of the time, in milliseconds since 1970.
        sample_fraction: share that is kept of each split.
        sample_unit: `sessions` keeps or drops whole sessions, `events` single rows.
        seed: of the sampling.
    """

    session_column: str = "SessionId"
    item_column: str = "ItemId"
    time_column: str = "Time"
    sample_fraction: float = 1.0
    sample_unit: str = "sessions"
    seed: int = 42

    def __post_init__(self) -> None:
        if not 0 < self.sample_fraction <= 1:
            raise ValueError(f"Expected sample_fraction to be above 0 and at most 1. Received: {self.sample_fraction}")
        if self.sample_unit not in SAMPLE_UNITS:
            raise ValueError(
                f"Expected sample_unit to be one of {', '.join(SAMPLE_UNITS)}. Received: {self.sample_unit!r}"
            )

    @property
    def columns(self) -> list[str]:
        """The three headers in the order of the events schema."""
        return [self.session_column, self.item_column, self.time_column]


def ingest(sources: dict[str, Path], events_dir: Path, parameters: IngestParameters) -> dict[str, int]:
    """Reads the TSV of each split, samples, orders and writes it.

    Args:
        sources: the file of each of SPLITS, plain or `.gz`.
        events_dir: where to write the artifact.
        parameters: column names and sampling.

    Returns:
        Events written of each split.

    Raises:
        FileNotFoundError: a source is not there.
        ValueError: a source is empty, lacks a column, or a row cannot be read.
    """
    num_events = {}
    for split in SPLITS:
        events = sample(read_tsv(sources[split], parameters), parameters)
        write_split(sort_events(events), events_dir, split)
        num_events[split] = events.num_rows
    return num_events


def read_tsv(path: Path, parameters: IngestParameters) -> pa.Table:
    """Reads three columns, ids as the text that stands there."""
    if not path.is_file():
        raise FileNotFoundError(f"Expected a tab-separated file. Received a path where there is none: {path}")
    types = dict(zip(parameters.columns, SCHEMA.types, strict=True))
    try:
        events = pa.csv.read_csv(
            path,
            parse_options=pa.csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pa.csv.ConvertOptions(
                column_types=types, include_columns=parameters.columns, strings_can_be_null=False
            ),
        )
    except KeyError as error:
        header = _header(path)
        raise ValueError(f"Expected the columns {parameters.columns} in {path}. Received: {header}") from error
    except pa.ArrowInvalid as error:
        raise ValueError(f"Expected {path} to hold rows of {parameters.columns}. Received: {error}") from error
    if events.num_rows == 0:
        raise ValueError(f"Expected at least one event in {path}. Received: a header and no row")
    return events.rename_columns(SCHEMA.names)


def _header(path: Path) -> list[str]:
    with pa.input_stream(path) as stream:
        head: str = stream.read(1 << 16).decode(errors="replace")
    return head.partition("\n")[0].rstrip("\r").split("\t")


def sample(events: pa.Table, parameters: IngestParameters) -> pa.Table:
    """Keeps `sample_fraction` of the sessions or of the rows, in the order they have."""
    if parameters.sample_fraction == 1.0:
        return events
    rng = np.random.default_rng(parameters.seed)
    if parameters.sample_unit == "events":
        rows = rng.choice(events.num_rows, round(parameters.sample_fraction * events.num_rows), replace=False)
        return events.take(pa.array(np.sort(rows)))
    sessions = pc.unique(events["session_id"])
    num_kept = max(1, round(parameters.sample_fraction * len(sessions)))
    kept = sessions.take(pa.array(rng.choice(len(sessions), num_kept, replace=False)))
    return events.filter(pc.is_in(events["session_id"], value_set=kept))
