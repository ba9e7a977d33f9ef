from typing import List

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def sessionize(
    log_path: str,
    events: dsl.Output[dsl.Dataset],
    data_report: dsl.Output[dsl.Markdown],
    visitor_column: str = "visitorid",
    session_column: str = "",
    item_column: str = "itemid",
    event_column: str = "event",
    time_column: str = "timestamp",
    time_format: str = "auto",
    time_offset_column: str = "",
    has_header: bool = True,
    column_names: List[str] = [],  # noqa: B006
    delimiter: str = "",
    quoting: str = "auto",
    max_id_bytes: int = 256,
    event_types: List[str] = ["view"],  # noqa: B006
    drop_repeats: bool = True,
    tie_order: str = "item",
    max_gap_minutes: float = 60.0,
    min_session_length: int = 2,
    min_item_support: int = 5,
    max_visitor_events: int = 50000,
    max_session_events: int = 2000,
    bot_action: str = "cut",
    as_of: str = "",
    window_days: int = 0,
    test_days: int = 7,
    valid_days: int = 7,
    sessionize_engine: str = "duckdb",
    sessionize_memory_gib: float = 2.0,
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
    """Cuts a raw event log into sessions and splits them by time, as GRU4Rec does for RetailRocket.

    Args:
        log_path: Raw event log: a file, folder or glob of CSV, TSV, JSON lines or Parquet, also compressed.
        visitor_column: Name of the visitor id column; not read if session_column is set.
        session_column: Name of the session id column, if the log has sessions; empty to cut them by max_gap_minutes.
        item_column: Name of the item id column.
        event_column: Name of the event type column; empty if every event counts.
        time_column: Name of the time column.
        time_format: Format of the times: auto, seconds, milliseconds, microseconds, nanoseconds or iso.
        time_offset_column: Name of a column with milliseconds to add to the time; empty for none.
        has_header: Whether the first line of text files has the names of the columns.
        column_names: Names of all columns, in order, of files without a header. If empty, they are numbered from 1.
        delimiter: Field delimiter; by default the one with which the file has the columns.
        quoting: Quotes around fields: rfc4180, none, or auto (none if the delimiter is a tab, rfc4180 otherwise).
        max_id_bytes: Maximum length of an id in bytes; rows with longer ids are rejected.
        event_types: Event types to keep; events of other types only prolong a session.
        drop_repeats: Whether to drop an event with the same item as the previous event of the session.
        tie_order: Order of events with equal times: item or file.
        max_gap_minutes: Longest gap between two events of a session, in minutes.
        min_session_length: Minimum events per session; repeated with min_item_support until nothing changes.
        min_item_support: Minimum events per item; repeated with min_session_length until nothing changes.
        max_visitor_events: Visitors with more events are bots; 0 for no maximum.
        max_session_events: Sessions with more events are those of bots; 0 for no maximum.
        bot_action: What happens to the events of bots: cut (keep the first events, up to the maximum) or drop.
        as_of: End of the window, an ISO 8601 date (its first moment) or time; empty for the newest event.
        window_days: Length of the window in days; 0 for the whole log.
        test_days: Number of last days whose sessions form the test split.
        valid_days: Number of days before them whose sessions form the validation split.
        sessionize_engine: Engine: duckdb or spark.
        sessionize_memory_gib: Memory limit of DuckDB in GiB, beyond which it spills to disk.
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
        from components.sessionize import step

        report = step.sessionize(
            log_path,
            Path(events.path),
            make_parameters(step.SessionizeParameters, arguments),
        )
        events.metadata.update(report.metadata())
        write_result(report.describe())
        Path(data_report.path).write_text(report.to_markdown())
        record.result = report.summary()
        record.findings = report.findings
