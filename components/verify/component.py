from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def verify(
    events: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    index_check: dsl.Input[dsl.Metrics],
    evaluated_vocabulary: dsl.Input[dsl.Dataset],
    evaluated_model: dsl.Input[dsl.Model],
    verification: dsl.Output[dsl.Metrics],
    min_item_count: int = 1,
    refit_min_overlap: float = 0.25,
    gate_min_index_recall: float = 0.98,
    gate_max_p99_ms: float = 100.0,
    gate_max_score_difference: float = 1e-4,
    records_uri: str = "",
    run_id: str = "",
    task_name: str = "",
) -> None:
    """Checks the model that was trained on all splits against the one that was evaluated; it fails if a check does.

    Args:
        events: The events artifact.
        vocabulary: The vocabulary artifact of the model trained on all splits.
        model: SavedModel of the model trained on all splits.
        index_check: JSON of the export of that model.
        evaluated_vocabulary: The vocabulary artifact of the evaluated model.
        evaluated_model: SavedModel of the evaluated model.
        refit_min_overlap: Minimum share of the evaluated model's 20 best items that the model trained on all splits
            has among its own, for the newest sessions.
        verification: JSON with what was measured.
    """
    arguments = dict(locals())
    from pathlib import Path

    from components.core.records import recorded

    with recorded(arguments) as record:
        from components.core.parameters import make_parameters
        from components.verify import step
        from components.verify.parameters import VerifyParameters

        record.result = step.verify(
            Path(events.path),
            step.Candidate(model_dir=Path(model.path), vocabulary_path=Path(vocabulary.path)),
            step.Candidate(model_dir=Path(evaluated_model.path), vocabulary_path=Path(evaluated_vocabulary.path)),
            Path(index_check.path),
            Path(verification.path),
            make_parameters(VerifyParameters, arguments),
        )
        for name in ("overlap", "index_recall", "p99_ms", "score_difference"):
            verification.log_metric(name, record.result[name])
