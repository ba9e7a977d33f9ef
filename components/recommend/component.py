from typing import List

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def recommend(
    sessions_path: str,
    serving_uri: str,
    recommendations: dsl.Output[dsl.Dataset],
    serving_version: int = 0,
    session_column: str = "SessionId",
    item_column: str = "ItemId",
    event_column: str = "event",
    event_types: List[str] = ["view"],  # noqa: B006
    time_column: str = "Time",
    time_format: str = "auto",
    time_offset_column: str = "",
    has_header: bool = True,
    column_names: List[str] = [],  # noqa: B006
    delimiter: str = "",
    quoting: str = "auto",
    max_id_bytes: int = 256,
    recommend_k: int = 20,
    exclude_seen: bool = False,
    max_session_events: int = 2000,
    max_rejected_share: float = 0.01,
    records_uri: str = "",
    run_id: str = "",
    task_name: str = "",
) -> None:
    """Recommends items for every session of a log with a published model.

    Args:
        sessions_path: Log of the sessions: a file, folder or glob of TSV, CSV, JSON lines or Parquet, in any order.
        serving_uri: Serving location of the published versions: a folder, s3:// or gs://.
        serving_version: Published version to use; 0 for the newest.
        session_column: Name of the session id column.
        item_column: Name of the item id column.
        event_column: Name of the event type column, which a log need not have; empty if every event counts.
        event_types: Event types that count; events of other types are ignored, as in training.
        time_column: Name of the time column.
        time_format: Format of the times: auto, seconds, milliseconds, microseconds, nanoseconds or iso.
        time_offset_column: Name of a column with milliseconds to add to the time; empty for none.
        has_header: Whether the first line of text files has the names of the columns.
        column_names: Names of all columns, in order, of files without a header. If empty, they are numbered from 1.
        delimiter: Field delimiter; by default the one with which the file has the columns.
        quoting: Quotes around fields: rfc4180, none, or auto (none if the delimiter is a tab, rfc4180 otherwise).
        max_id_bytes: Maximum length of an id in bytes; rows with longer ids are rejected.
        recommend_k: Number of items to recommend for each session.
        exclude_seen: Exclude the items of the session.
        max_session_events: Number of newest events of a session that are read, and excluded with exclude_seen.
        max_rejected_share: Maximum share of rows that may be rejected.
        records_uri: Where each task writes a record of its result or its error: a folder, s3://BUCKET/PREFIX or
            gs://BUCKET/PREFIX; empty for none.
        run_id: Id of the run, for the record.
        task_name: Name of the task, for the record.
        recommendations: Parquet with session_id, rank (from 1), item_id and score, and a report.
    """
    arguments = dict(locals())
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from components.core.records import recorded

    with recorded(arguments) as record:
        from components.core.parameters import make_parameters
        from components.core.progress import write_result
        from components.recommend import step
        from components.recommend.parameters import RecommendParameters

        parameters = make_parameters(RecommendParameters, arguments)
        with TemporaryDirectory() as folder:
            version = step.fetch_index(serving_uri, Path(folder), version=serving_version)
            report = step.recommend_sessions(sessions_path, Path(folder), Path(recommendations.path), parameters)
        write_result(step.describe(report))
        record.result = {"serving_version": version, **report}
        numbers = {name: value for name, value in report.items() if not isinstance(value, dict)}
        recommendations.metadata.update({"serving_version": version, **numbers})
