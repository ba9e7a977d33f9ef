from typing import List

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gate(
    metrics: dsl.Input[dsl.Metrics],
    index_check: dsl.Input[dsl.Metrics],
    events: dsl.Input[dsl.Dataset],
    verdict: dsl.Output[dsl.Artifact],
    gate_report: dsl.Output[dsl.Markdown],
    gate_min_targets: int = 1000,
    gate_max_unknown_share: float = 0.2,
    gate_min_coverage: float = 0.05,
    gate_baselines: List[str] = [  # noqa: B006
        "popularity",
        "session_popularity",
        "markov",
        "sequential_rules",
        "item_knn",
        "v_sknn",
        "stan",
    ],
    gate_max_mean_loss: float = 0.01,
    gate_max_interval_loss: float = 0.03,
    gate_baselines_alone: bool = False,
    gate_min_index_recall: float = 0.98,
    gate_max_p99_ms: float = 100.0,
    gate_max_score_difference: float = 1e-4,
    gate_max_lost_share: float = 0.5,
    gate_override: str = "",
    fail_when_refused: bool = False,
    max_rejected_share: float = 0.01,
    data_errors: List[str] = [],  # noqa: B006
    allowed_findings: List[str] = [],  # noqa: B006
    previous_events: str = "",
    drift_bounds: List[str] = [  # noqa: B006
        "volume=0.5:2.0",
        "session_length=0.25:1.0",
        "lost_items=0.3:0.8",
        "popularity=0.3:0.8",
    ],
    records_uri: str = "",
    run_id: str = "",
    task_name: str = "",
) -> bool:
    """Decides whether the model may be published; whatever is missing, unreadable or not a number is a refusal.

    Args:
        metrics: JSON of evaluate, with the comparison with the published model.
        index_check: JSON of export, with the recall and the speed of the index.
        events: The events artifact; its data report is judged.
        gate_min_targets: Minimum test targets, of all and of those that the published model can be compared on.
        gate_max_unknown_share: Maximum share of the targets that are not in the vocabulary.
        gate_min_coverage: Minimum share of the items that are recommended, of those that could be.
        gate_baselines: Baselines that must have been evaluated; all others that were are compared too.
        gate_max_mean_loss: Maximum loss of recall@20 and MRR@20, relative to a baseline or to the published model.
        gate_max_interval_loss: Maximum loss at the lower end of the 95% interval of the same difference.
        gate_baselines_alone: Whether baselines suffice where too few targets are new to the published model.
        gate_min_index_recall: Minimum recall of the index against exact search.
        gate_max_p99_ms: Maximum 99th percentile of the time of a single query, in milliseconds.
        gate_max_score_difference: Maximum difference of the exported model's scores, relative to the largest.
        gate_max_lost_share: Maximum share of last week's events whose items are gone this week.
        gate_override: Reason to publish the model whatever the rules say, with your name; empty for no override.
        fail_when_refused: Whether a refusal fails the task.
        verdict: JSON with the decision, every judgement, the bounds and the override.
        gate_report: Every rule, its bound, what was measured, its verdict, and the one that decided.

    Returns:
        Whether the model may be published. KFP's local runner finds the value of a condition by the default name of the
        output, `Output`, alone: with another name no branch runs.
    """
    arguments = dict(locals())
    from pathlib import Path

    from components.core.records import recorded

    with recorded(arguments) as record:
        from components.core.parameters import make_parameters
        from components.core.progress import write_result
        from components.gate import step
        from components.gate.parameters import GateParameters

        decision = step.gate(
            Path(metrics.path),
            Path(index_check.path),
            Path(events.path),
            Path(verdict.path),
            Path(gate_report.path),
            make_parameters(GateParameters, arguments),
        )
        record.result = {
            "passed": decision.passed,
            "rules_passed": decision.rules_passed,
            "decided_by": decision.decided_by,
            "reason": decision.reason,
        }
        write_result(f"{'passed' if decision.passed else 'refused'}, decided by {decision.decided_by}")
        verdict.metadata.update({"passed": decision.passed, "decided_by": decision.decided_by})
        return decision.passed
