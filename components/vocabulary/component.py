from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def vocabulary(
    events: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Output[dsl.Dataset],
    min_item_count: int = 1,
    refit: bool = True,
    include_test: bool = False,
    records_uri: str = "",
    run_id: str = "",
    task_name: str = "",
) -> None:
    """Counts the items of the training events and assigns their indices.

    Args:
        events: The events artifact.
        min_item_count: Minimum number of events of an item; rarer items are unknown to the model.
        include_test: Whether to count the items of all splits, for the model that is trained after the gate.
        records_uri: Where each task writes a record of its result or its error: a folder, s3://BUCKET/PREFIX or
            gs://BUCKET/PREFIX; empty for none.
        run_id: Id of the run, for the record.
        task_name: Name of the task, for the record.
        vocabulary: Parquet with item_id, index (from 1, by descending count; 0 is the unknown item) and count.
    """
    arguments = dict(locals())
    from pathlib import Path

    from components.core.records import recorded

    with recorded(arguments) as record:
        from components.core.parameters import make_parameters
        from components.core.presentation import count_of
        from components.core.progress import write_result
        from components.vocabulary import step
        from components.vocabulary.parameters import VocabularyParameters

        parameters = make_parameters(VocabularyParameters, arguments)
        made = step.make_vocabulary(
            Path(events.path),
            Path(vocabulary.path),
            min_item_count=parameters.min_item_count,
            include_valid=parameters.refit,
            include_test=include_test,
        )
        write_result(count_of(made.num_items, "item"))
        record.result = {"num_items": made.num_items, "num_events": int(made.counts.sum())}
        vocabulary.metadata.update(record.result)
