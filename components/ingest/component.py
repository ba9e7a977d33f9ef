from typing import List

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(
    train_path: str,
    valid_path: str,
    test_path: str,
    events: dsl.Output[dsl.Dataset],
    data_report: dsl.Output[dsl.Markdown],
    session_column: str = "SessionId",
    item_column: str = "ItemId",
    time_column: str = "Time",
    time_format: str = "auto",
    time_offset_column: str = "",
    has_header: bool = True,
    column_names: List[str] = [],  # noqa: B006
    delimiter: str = "",
    quoting: str = "auto",
    max_id_bytes: int = 256,
    sample_fraction: float = 1.0,
    sample_unit: str = "sessions",
    random_seed: int = 42,
    max_session_events: int = 2000,
    bot_action: str = "cut",
    max_rejected_share: float = 0.01,
    data_errors: List[str] = [],  # noqa: B006
    allowed_findings: List[str] = [],  # noqa: B006
    previous_events: str = "",
    drift_bounds: List[str] = [  # noqa: B006
        "volume=0.5:2.0",
        "session_length=0.25:1.0",
        "lost_items=0.3:0.8",
        "popularity=0.3:0.8",
    ],
    records_uri: str = "",
    run_id: str = "",
    task_name: str = "",
) -> None:
    """Reads the session logs of three splits into one events artifact; every line is accepted or kept with a reason.

    Args:
        train_path: Log of the training sessions: a file, folder or glob of TSV, CSV, JSON lines or Parquet.
        valid_path: Log of the validation sessions.
        test_path: Log of the test sessions.
        session_column: Name of the session id column.
        item_column: Name of the item id column.
        time_column: Name of the time column.
        time_format: Format of the times: auto, seconds, milliseconds, microseconds, nanoseconds or iso.
        time_offset_column: Name of a column with milliseconds to add to the time; empty for none.
        has_header: Whether the first line of text files has the names of the columns.
        column_names: Names of all columns, in order, of files without a header. If empty, they are numbered from 1.
        delimiter: Field delimiter; by default the one with which the file has the columns.
        quoting: Quotes around fields: rfc4180, none, or auto (none if the delimiter is a tab, rfc4180 otherwise).
        max_id_bytes: Maximum length of an id in bytes; rows with longer ids are rejected.
        sample_fraction: Share of each split to keep.
        sample_unit: What to sample: sessions (whole ones) or events (single rows).
        max_session_events: Sessions with more events are those of bots; 0 for no maximum.
        bot_action: What happens to the events of bots: cut (keep the first events, up to the maximum) or drop.
        max_rejected_share: Maximum share of rows that may be rejected.
        data_errors: Findings that fail the step: duplicates, backward_times, ties, seconds, cut_files, and others
        allowed_findings: Findings that fail the step unless named here: splits_out_of_order, sessions_in_two_splits
        previous_events: Events of an earlier run (local, s3:// or gs://) to measure drift against; empty for none.
        drift_bounds: NAME=WARN:FAIL for volume, session_length, lost_items and popularity; others keep the default.
        events: Parquet files train, valid and test, ordered by session start, session and time; the rejected rows.
        data_report: What the events hold, and their drift.
    """
    arguments = dict(locals())
    from pathlib import Path

    from components.core.records import recorded

    with recorded(arguments) as record:
        from components.core.parameters import make_parameters
        from components.core.progress import write_result
        from components.ingest import step

        report = step.ingest(
            {"train": train_path, "valid": valid_path, "test": test_path},
            Path(events.path),
            make_parameters(step.IngestParameters, arguments),
        )
        events.metadata.update(report.metadata())
        write_result(report.describe())
        Path(data_report.path).write_text(report.to_markdown())
        record.result = report.summary()
        record.findings = report.findings
