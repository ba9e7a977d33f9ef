from typing import List

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    events: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    ranks: dsl.Output[dsl.Dataset],
    examples: dsl.Output[dsl.Dataset],
    evaluate_ks: List[int] = [1, 5, 10, 20, 50, 100],  # noqa: B006
    min_prefix: int = 1,
    max_test_targets: int = 50_000,
    serving_uri: str = "",
    records_uri: str = "",
    run_id: str = "",
    task_name: str = "",
) -> int:
    """Ranks every target of the test sessions among the whole catalogue, beside the baselines.

    Args:
        events: The events artifact.
        vocabulary: The vocabulary artifact.
        model: SavedModel of both towers.
        evaluate_ks: Cut-offs k of recall@k, MRR@k and NDCG@k.
        min_prefix: Number of events that must come before a target in its session.
        max_test_targets: Maximum test targets to rank, sampled by whole sessions; 0 for no limit.
        serving_uri: Serving location with the published model: a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX;
            empty for none.
        metrics: JSON with every metric of the model and of the baselines.
        ranks: Parquet with the rank of each target for the model, each baseline and the published model.
        examples: JSON with test sessions, good and bad ones, and what model and strongest baseline recommended.

    Returns:
        Number of the published version that the model was compared with; 0 if there is none, -1 if it could not be
        read.
    """
    arguments = dict(locals())
    from pathlib import Path

    from components.core.records import recorded

    with recorded(arguments) as record:
        from components.core.parameters import make_parameters
        from components.core.progress import write_result
        from components.evaluate import step
        from components.evaluate.page import select_page_metrics
        from components.evaluate.parameters import EvaluateParameters

        document = step.evaluate(
            Path(events.path),
            Path(vocabulary.path),
            Path(model.path),
            Path(metrics.path),
            make_parameters(EvaluateParameters, arguments),
            ranks_path=Path(ranks.path),
            examples_path=Path(examples.path),
        )
        write_result(step.describe(document))
        for name, value in select_page_metrics(document).items():
            metrics.log_metric(name, value)
        champion = document["champion"]
        record.result = {name: document[name] for name in ("num_targets", "model", "baselines", "champion")}
        return int(champion.get("version", 0 if champion["status"] == "none" else -1))
