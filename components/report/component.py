from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report(
    events: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Input[dsl.Dataset],
    metrics: dsl.Input[dsl.Metrics],
    examples: dsl.Input[dsl.Dataset],
    embeddings: dsl.Input[dsl.Dataset],
    index_check: dsl.Input[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    items_path: str = "",
    records_uri: str = "",
    run_id: str = "",
    task_name: str = "",
) -> None:
    """Writes a page about the model: how good it is, where, what it recommends, and what it was made of.

    Args:
        events: The events artifact.
        vocabulary: The vocabulary artifact.
        metrics: JSON with every metric of the model and of the baselines.
        examples: JSON with test sessions and what was recommended.
        embeddings: Parquet with item_id and embedding of every candidate.
        index_check: JSON with the recall of the index against exact search and the time of a query.
        items_path: Table with columns item and title, for the report: Parquet or CSV, local, s3:// or gs://; empty for
            none.
        report: One HTML page that needs no network.
    """
    arguments = dict(locals())
    from pathlib import Path

    from components.core.records import recorded

    with recorded(arguments) as record:
        from components.core.progress import write_result
        from components.report import step

        problems = step.make_report(
            step.Sources(
                events_dir=Path(events.path),
                vocabulary_path=Path(vocabulary.path),
                metrics_path=Path(metrics.path),
                examples_path=Path(examples.path),
                embeddings_path=Path(embeddings.path),
                index_check_path=Path(index_check.path),
            ),
            Path(report.path),
            items_path=items_path,
        )
        report.metadata.update({"complete": not problems, "problems": "; ".join(problems)})
        write_result(step.describe(problems))
        record.result = {"problems": problems}
