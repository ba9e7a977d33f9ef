from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def export(
    events: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    index: dsl.Output[dsl.Model],
    embeddings: dsl.Output[dsl.Dataset],
    index_check: dsl.Output[dsl.Metrics],
    serving_k: int = 100,
    records_uri: str = "",
    run_id: str = "",
    task_name: str = "",
) -> None:
    """Builds the top-k index that serves the model, and checks it in a fresh process.

    Args:
        events: The events artifact; sessions of its test split are what the check asks the index for.
        vocabulary: The vocabulary artifact.
        model: SavedModel of both towers.
        index: SavedModel from padded session item ids, and optionally k and ids to exclude, to item ids and scores.
        embeddings: Parquet with item_id and embedding of every candidate; its metadata says how to search it.
        index_check: JSON with the recall of the index against exact search, the time of a single query, and the
            difference of its scores from the evaluated ones.
        serving_k: Number of items that a request to the index returns if it does not say how many.
    """
    arguments = dict(locals())
    from pathlib import Path

    from components.core.records import recorded

    with recorded(arguments) as record:
        import json

        from components.core.progress import write_result
        from components.export import step

        exported = step.export(
            Path(events.path),
            Path(vocabulary.path),
            Path(model.path),
            Path(index.path),
            Path(embeddings.path),
            serving_k=serving_k,
        )
        index.metadata.update({"framework": "tensorflow", "num_items": exported.num_items, "serving_k": serving_k})
        embeddings.metadata.update(exported.embeddings)
        Path(index_check.path).write_text(json.dumps(exported.index_check, indent=2))
        write_result(step.describe(exported))
        names = ("index_recall", "p50_ms", "p99_ms", "score_difference")
        for name in names:
            index_check.log_metric(name, exported.index_check[name])
        record.result = {"num_items": exported.num_items, **{name: exported.index_check[name] for name in names}}
