from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def vocabulary(
    events: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Output[dsl.Dataset],
    min_item_count: int = 1,
    refit: bool = False,
) -> None:
    """Counts the items that the model is trained on and gives them indices.

    Args:
        events: The events artifact.
        min_item_count: Items with fewer events are unknown to the model.
        refit: Count the validation sessions too, because the final model is trained on them.
        vocabulary: Parquet with item_id, index (from 1, by falling count; 0 means unknown) and count.
    """
    from pathlib import Path

    from components.vocabulary import step

    made = step.make_vocabulary(
        Path(events.path), Path(vocabulary.path), min_item_count=min_item_count, include_valid=refit
    )
    vocabulary.metadata.update({"num_items": made.num_items, "num_events": int(made.counts.sum())})
