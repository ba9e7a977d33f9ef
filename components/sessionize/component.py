from typing import List

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def sessionize(
    log_path: str,
    events: dsl.Output[dsl.Dataset],
    data_report: dsl.Output[dsl.Markdown],
    visitor_column: str = "visitorid",
    item_column: str = "itemid",
    event_column: str = "event",
    time_column: str = "timestamp",
    delimiter: str = "",
    max_id_bytes: int = 256,
    event_types: List[str] = ["view"],  # noqa: B006
    max_gap_minutes: float = 60.0,
    min_session_length: int = 2,
    min_item_support: int = 5,
    as_of: str = "",
    window_days: int = 0,
    test_days: int = 7,
    valid_days: int = 7,
    engine: str = "duckdb",
    memory_gib: float = 2.0,
    max_rejected_share: float = 0.01,
    errors: List[str] = [],  # noqa: B006
    previous_events: str = "",
    volume_drift_warns: float = 0.5,
    volume_drift_fails: float = 2.0,
    session_length_drift_warns: float = 0.25,
    session_length_drift_fails: float = 1.0,
    lost_items_drift_warns: float = 0.3,
    lost_items_drift_fails: float = 0.8,
    popularity_drift_warns: float = 0.3,
    popularity_drift_fails: float = 0.8,
) -> None:
    """Cuts a raw event log into sessions and splits them by time, as GRU4Rec does for RetailRocket.

    Args:
        log_path: A file, folder or glob of CSV, TSV (plain, .gz, .zst) or Parquet; local, s3:// or gs://.
        visitor_column: Header of the visitor id.
        item_column: Header of the item id.
        event_column: Header of the type of event.
        time_column: Header of the time in milliseconds since 1970.
        delimiter: Of the fields; empty for a comma in .csv and a tab elsewhere.
        max_id_bytes: Lines with longer ids are rejected.
        event_types: Types of event that count; the others only keep a session going.
        max_gap_minutes: A session ends where more time passes before the visitor's next event.
        min_session_length: Sessions with fewer events are dropped, again and again.
        min_item_support: Items with fewer events are dropped, again and again.
        as_of: End of the window, an ISO 8601 date (its first moment) or time; empty for the newest event.
        window_days: Length of the window in days; 0 for the whole log.
        test_days: Sessions that start in these last days are the test split.
        valid_days: Sessions that start in these days before them are the validation split.
        engine: duckdb or spark.
        memory_gib: Memory that DuckDB may use before it goes to disk.
        max_rejected_share: Share of the lines that may be rejected.
        errors: Findings that are errors: duplicates, backward_times, sessions_in_two_splits, seconds, cut_files.
        previous_events: Folder of a run's events (local, s3:// or gs://), to measure drift since; empty for none.
        volume_drift_warns: Bound of |log2| of the ratio of the numbers of train events; 1 is twice or half as many.
        volume_drift_fails: Above it the step fails.
        session_length_drift_warns: Bound of |log2| of the ratio of the mean session lengths.
        session_length_drift_fails: Above it the step fails.
        lost_items_drift_warns: Bound of the share of the previous run's items that are gone.
        lost_items_drift_fails: Above it the step fails.
        popularity_drift_warns: Bound of the Jensen-Shannon divergence of the items' popularity, in bits.
        popularity_drift_fails: Above it the step fails.
        events: Parquet of train, valid and test, ordered by session start, session and time; the rejected lines.
        data_report: What the events hold, and their drift.
    """
    from pathlib import Path

    from components.core.logs.draft import Acceptance
    from components.core.logs.drift import Bounds, DriftBounds
    from components.sessionize import step

    report = step.sessionize(
        log_path,
        Path(events.path),
        step.SessionizeParameters(
            visitor_column=visitor_column,
            item_column=item_column,
            event_column=event_column,
            time_column=time_column,
            delimiter=delimiter,
            max_id_bytes=max_id_bytes,
            event_types=tuple(event_types),
            max_gap_minutes=max_gap_minutes,
            min_session_length=min_session_length,
            min_item_support=min_item_support,
            as_of=as_of,
            window_days=window_days,
            test_days=test_days,
            valid_days=valid_days,
            engine=engine,
            memory_gib=memory_gib,
            acceptance=Acceptance(
                max_rejected_share=max_rejected_share,
                errors=tuple(errors),
                previous_events=previous_events,
                drift=DriftBounds(
                    volume=Bounds(warn=volume_drift_warns, fail=volume_drift_fails),
                    session_length=Bounds(warn=session_length_drift_warns, fail=session_length_drift_fails),
                    lost_items=Bounds(warn=lost_items_drift_warns, fail=lost_items_drift_fails),
                    popularity=Bounds(warn=popularity_drift_warns, fail=popularity_drift_fails),
                ),
            ),
        ),
    )
    events.metadata.update(report.metadata())
    Path(data_report.path).write_text(report.to_markdown())
