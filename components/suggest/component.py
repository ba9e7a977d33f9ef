from typing import List, NamedTuple

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def suggest(
    trials: dsl.Output[dsl.Dataset],
    search_report: dsl.Output[dsl.HTML],
    earlier_trials: dsl.Input[dsl.Dataset] = None,
    outcomes: List[str] = [],  # noqa: B006
    search_space: str = "default",
    search_sampler: str = "tpe",
    trials_per_round: int = 4,
    random_seed: int = 42,
    records_uri: str = "",
    run_id: str = "",
    task_name: str = "",
) -> NamedTuple("Outputs", [("Output", List[str]), ("best", str)]):  # type: ignore[valid-type]  # the form KFP reads
    """Takes the outcomes of the last round of trials, and proposes the points of the next one.

    Args:
        earlier_trials: The trials before the last round.
        outcomes: The outcomes of the last round.
        search_space: Space of training parameters: default, or YAML that maps each to {low, high}, {low, high, log},
            {low, high, step} or {choices}.
        search_sampler: How points are chosen: tpe or random.
        trials_per_round: Number of trials of a round, which run at the same time; 0 after the last round.
        trials: JSON with all trials so far.
        search_report: One HTML page about them that needs no network.

    Returns:
        Points of the next round and the best point so far, each a JSON object of training parameters. KFP's local
        runner loops only over an output with the default name, `Output`.
    """
    arguments = dict(locals())
    from pathlib import Path

    from components.core.records import recorded

    with recorded(arguments) as record:
        import json

        from components.core.parameters import make_parameters
        from components.core.progress import write_result
        from components.suggest import step
        from components.suggest.parameters import SuggestParameters

        suggested = step.suggest(
            Path(earlier_trials.path) if earlier_trials else None,
            outcomes,
            Path(trials.path),
            Path(search_report.path),
            make_parameters(SuggestParameters, arguments),
        )
        best = suggested.best or {}
        found = f", the best objective {best['value']:.4f}" if best else ""
        write_result(f"{suggested.num_trials} trials{found}")
        record.result = {"num_trials": suggested.num_trials, "best": suggested.best}
        return suggested.points, json.dumps(best.get("point", {}))
