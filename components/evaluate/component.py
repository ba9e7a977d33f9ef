from typing import List

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    events: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    ks: List[int] = [1, 5, 10, 20, 50, 100],  # noqa: B006
    min_prefix: int = 1,
    max_test_targets: int = 50_000,
) -> None:
    """Ranks every target of the test sessions among the whole catalogue, beside the baselines.

    Args:
        events: The events artifact.
        vocabulary: The vocabulary artifact.
        model: SavedModel of both towers.
        ks: Cut-offs of recall, MRR and NDCG.
        min_prefix: How many events must come before a target in its session.
        max_test_targets: What is ranked at most, drawn by whole sessions; 0 for all.
        metrics: JSON with every metric of the model and of the baselines.
    """
    from pathlib import Path

    from components.evaluate import step

    document = step.evaluate(
        Path(events.path),
        Path(vocabulary.path),
        Path(model.path),
        Path(metrics.path),
        step.EvaluateParameters(ks=[int(k) for k in ks], min_prefix=min_prefix, max_test_targets=max_test_targets),
    )
    for name in ("num_targets", "num_unknown_targets", "num_unknown_sessions"):
        metrics.log_metric(name, document[name])
    for name, value in document["model"].items():
        metrics.log_metric(name, value)
    for baseline, summary in document["baselines"].items():
        for name in ("recall@20", "mrr@20"):
            if name in summary:
                metrics.log_metric(f"{baseline}_{name}", summary[name])
