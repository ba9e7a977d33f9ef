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
    index_kind: str = "brute_force",
    min_index_recall: float = 0.98,
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
        index_check: JSON with the recall of the index against exact search, the time of a single query, the throughput
            of batches, the memory and size of the index, and the difference of its scores from the evaluated ones.
        serving_k: Number of items that a request to the index returns if it does not say how many.
        index_kind: How the index searches: brute_force, which is exact, or scann, which is faster for large
            catalogues, misses some of the best, and needs the package scann wherever the index is loaded. Fewer than
            1,000 items are always searched exactly.
        min_index_recall: Minimum share of the 20 best items by exact score that the index returns.
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
            index_kind=index_kind,
            min_index_recall=min_index_recall,
        )
        index.metadata.update(
            {
                "framework": "tensorflow",
                "num_items": exported.num_items,
                "serving_k": serving_k,
                "index_kind": exported.index_check["index_kind"],
                "index_recall": exported.index_check["index_recall"],
            }
        )
        embeddings.metadata.update(exported.embeddings)
        Path(index_check.path).write_text(json.dumps(exported.index_check, indent=2))
        write_result(step.describe(exported))
        measures = ("index_recall", "p50_ms", "p99_ms", "batch_queries_per_second", "memory_bytes", "size_bytes")
        names = (*measures, "score_difference")
        for name in names:
            index_check.log_metric(name, exported.index_check[name])
        record.result = {"num_items": exported.num_items, **{name: exported.index_check[name] for name in names}}
