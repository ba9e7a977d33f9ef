from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(
    train_path: str,
    valid_path: str,
    test_path: str,
    events: dsl.Output[dsl.Dataset],
    session_column: str = "SessionId",
    item_column: str = "ItemId",
    time_column: str = "Time",
    sample_fraction: float = 1.0,
    sample_unit: str = "sessions",
    seed: int = 42,
) -> None:
    """Reads three tab-separated session logs into one events artifact.

    Args:
        train_path: Tab-separated file of the training sessions, plain or .gz.
        valid_path: Tab-separated file of the validation sessions.
        test_path: Tab-separated file of the test sessions.
        session_column: Header of the session id.
        item_column: Header of the item id.
        time_column: Header of the time in milliseconds since 1970.
        sample_fraction: Share of each split that is kept.
        sample_unit: What is sampled: sessions (whole ones) or events (single rows).
        seed: Seed of the sampling.
        events: Parquet of train, valid and test, ordered by session start, session and time.
    """
    from pathlib import Path

    from components.ingest import step

    num_events = step.ingest(
        {"train": Path(train_path), "valid": Path(valid_path), "test": Path(test_path)},
        Path(events.path),
        step.IngestParameters(
            session_column=session_column,
            item_column=item_column,
            time_column=time_column,
            sample_fraction=sample_fraction,
            sample_unit=sample_unit,
            seed=seed,
        ),
    )
    events.metadata.update({f"num_{split}_events": count for split, count in num_events.items()})
