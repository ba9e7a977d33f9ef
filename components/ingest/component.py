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
    delimiter: str = "",
    max_id_bytes: int = 256,
    sample_fraction: float = 1.0,
    sample_unit: str = "sessions",
    seed: int = 42,
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
    """Reads the session logs of three splits into one events artifact; every line is accepted or kept with a reason.

    Args:
        train_path: Log of the training sessions: a file, folder or glob of TSV, CSV (plain, .gz, .zst) or Parquet.
        valid_path: Log of the validation sessions.
        test_path: Log of the test sessions.
        session_column: Header of the session id.
        item_column: Header of the item id.
        time_column: Header of the time in milliseconds since 1970.
        delimiter: Of the fields; empty for a comma in .csv and a tab elsewhere.
        max_id_bytes: Lines with longer ids are rejected.
        sample_fraction: Share of each split that is kept.
        sample_unit: What is sampled: sessions (whole ones) or events (single rows).
        seed: Seed of the sampling.
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
    from components.ingest import step

    report = step.ingest(
        {"train": train_path, "valid": valid_path, "test": test_path},
        Path(events.path),
        step.IngestParameters(
            session_column=session_column,
            item_column=item_column,
            time_column=time_column,
            delimiter=delimiter,
            max_id_bytes=max_id_bytes,
            sample_fraction=sample_fraction,
            sample_unit=sample_unit,
            seed=seed,
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
