"""Running pipelines and single components on this machine, with the KFP local runner."""

import contextlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kfp import dsl

from components.core.records import Record, read_records
from components.core.run_artifacts import hold_run
from pipeline.attempts import TASKS, Attempts, find_artifacts, link_artifacts
from pipeline.display import Detail, Display
from pipeline.failures import explain, explain_interruption, is_refusal
from pipeline.kfp_runner import RunError, check_texts, run_tasks
from pipeline.output_folder import CONFIG_NAME, GATE_NAMES, LOG_NAME, OUTPUT_NAMES, OutputFolder

NAMES = OUTPUT_NAMES | GATE_NAMES
RECORDS = "records"  # what the tasks of the run say about themselves, in a folder named by KFP's id of the run

logger = logging.getLogger(__name__)


class GateRefusalError(RunError):
    """The gate refused the model, which fails its task with `fail_when_refused`."""


def run_pipeline(
    pipeline: Any,
    arguments: Mapping[str, Any],
    folder: OutputFolder,
    *,
    runner: Any = None,
    display: Display | None = None,
    keys: Mapping[str, str] | None = None,
    config: str = "",
    complete: Callable[[Mapping[str, Path], Display], None] = lambda paths, display: None,
) -> dict[str, Path]:
    """Runs a pipeline and, if it succeeds, publishes all its artifacts in the output folder at once.

    Args:
        pipeline: a pipeline, from source or loaded from its compiled YAML.
        arguments: values of the pipeline's parameters; `records_uri` is set to a folder of the run.
        folder: the output folder, locked by its context manager.
        runner: KFP's local runner; by default, each task runs in a subprocess with this Python interpreter.
        display: shows the progress; by default, nothing is shown.
        keys: keys of tasks, from `task_keys.make_keys`. If the last run failed or was killed, those that it has done
            with the same keys are not run again.
        config: the text of config.yaml; empty for no such file.
        complete: changes artifacts before they are published; gets their paths by their names in the pipeline.

    Returns:
        The path of each artifact in the folder of this run, by its name in the pipeline; of a task that ran under a
        condition too.

    Raises:
        OutputFolderError: the output folder cannot be used.
        GateRefusalError: the gate refused the model, and `fail_when_refused` is set.
        RunError: a task failed; the message says in which step, what to do, and where the log is.
        ValueError: KFP cannot pass an argument or the path of the output folder to a task.
    """
    check_texts({**arguments, "the output folder": str(folder.path)})
    display = display or Display(detail=Detail.QUIET)
    # A pipeline with an exit handler has no outputs; its artifacts have the same names in all pipelines.
    names = [name for name, spec in (pipeline.component_spec.outputs or {}).items() if "@" in spec.type]
    expected = {*names, *(_list_artifacts(pipeline.pipeline_spec) & NAMES.keys())}
    attempts = Attempts(keys or {})
    shown = {*NAMES.values(), RECORDS, *(NAMES.get(name, name) for name in names)}
    run_dir = folder.begin(shown, can_continue=attempts.can_continue)
    if "records_uri" in (pipeline.component_spec.inputs or {}):
        arguments = {**arguments, "records_uri": str(run_dir / RECORDS)}
    started = datetime.now(UTC)
    try:
        attempts.begin(run_dir, {*NAMES.values(), *names})
        if config:
            (run_dir / CONFIG_NAME).write_text(config)
        with (run_dir / LOG_NAME).open("a", encoding="utf-8", errors="backslashreplace") as log:
            made = run_tasks(pipeline, arguments, run_dir / TASKS, runner, display=display, log=log, keys=keys)
        # The artifacts of tasks that ran under a condition are none of the pipeline's outputs.
        written = find_artifacts(run_dir, NAMES) | {name: Path(made[name].path) for name in names}
        missing = sorted(expected - {name for name, path in written.items() if path.exists()})
        if missing:
            raise RunError(f"Expected the tasks to write the artifacts {', '.join(missing)}. Received: none of them")
        complete(written, display)
        paths = _move(written, run_dir)
        shutil.rmtree(run_dir / TASKS)
        record = {
            "pipeline": pipeline.name,
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "arguments": dict(arguments),
        }
        folder.publish(run_dir, record)
    except (RunError, OSError) as error:
        link_artifacts(run_dir, NAMES)
        kind = GateRefusalError if is_refusal(error) else RunError
        raise kind(explain(error, run_dir, folder, display)) from error
    except KeyboardInterrupt:
        link_artifacts(run_dir, NAMES)
        logger.warning("%s", explain_interruption(folder, display))
        raise
    return paths


def read_run_records(run_dir: Path) -> dict[str, Record]:
    """Reads what the tasks of a local run say about themselves.

    Args:
        run_dir: the folder of the run, also of one in progress or of a failed one.

    Returns:
        The records by the name of the task, in the order in which the tasks started. A task that was killed or has not
        ended yet has none.
    """
    folder = run_dir / RECORDS
    return {
        name: record
        for run_id in (sorted(path.name for path in folder.iterdir()) if folder.is_dir() else [])
        for name, record in read_records(str(folder), run_id).items()
    }


def run_training(pipeline: Any, arguments: Mapping[str, Any], folder: OutputFolder, **options: Any) -> dict[str, Path]:
    """Runs a pipeline that contains a training. After a kill, the same call resumes after the last complete epoch.

    Args:
        pipeline: as for `run_pipeline`; it must have the parameter `checkpoint_root`.
        arguments: as for `run_pipeline`, without `checkpoint_root`.
        folder: as for `run_pipeline`; it also keeps the checkpoints of a training until the training has succeeded.
        options: further arguments of `run_pipeline`.

    Returns:
        The path of each artifact in the folder of this run, by its name in the pipeline.

    Raises:
        OutputFolderError: the output folder cannot be used.
        RunError: a task failed.
        ValueError: `checkpoint_root` is among the arguments, or KFP cannot pass an argument to a task.
    """
    if "checkpoint_root" in arguments:
        raise ValueError("A local run sets checkpoint_root itself, to a folder in its output folder. Omit it.")
    paths = run_pipeline(pipeline, {**arguments, "checkpoint_root": str(folder.checkpoint_root)}, folder, **options)
    # Keep the checkpoints of other trainings, which may still be resumed.
    own = {json.loads(paths["metrics"].read_text()).get("checkpoint_dir")}
    own |= {record.result.get("checkpoint_dir") for record in read_run_records(paths["metrics"].parent).values()}
    for name in filter(None, own):
        shutil.rmtree(folder.checkpoint_root / name, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.checkpoint_root.rmdir()
    return paths


def run_component(
    component: Any,
    output_dir: Path,
    *,
    artifacts: Mapping[str, Path] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """Runs a single component on artifacts that are on the local disk.

    KFP accepts such artifacts only from `dsl.importer`, so this wraps the component in a pipeline that imports them.

    Args:
        component: a component such as `components.train.component.train`.
        output_dir: folder for the output artifacts; existing artifacts of the same names are replaced.
        artifacts: paths of the input artifacts, by the name of the input.
        arguments: values of the component's parameters.

    Returns:
        The path of each output artifact, by name.

    Raises:
        FileNotFoundError: an input artifact does not exist.
        OutputFolderError: the output folder cannot be used, or contains runs of a pipeline.
        RunError: the task failed.
        ValueError: KFP cannot pass an argument to a task.
    """
    artifacts = artifacts or {}
    for name, path in artifacts.items():
        if not path.exists():
            raise FileNotFoundError(f"Expected the artifact {name!r} to exist. Received: {path}")
    check_texts({**artifacts, **(arguments or {}), "the output folder": str(output_dir.absolute())})
    classes = {cls.schema_title: cls for cls in (dsl.Artifact, dsl.Dataset, dsl.Model, dsl.Metrics)}
    inputs = component.component_spec.inputs or {}
    outputs = {name: spec for name, spec in (component.component_spec.outputs or {}).items() if "@" in spec.type}

    def artifact_class(spec: Any) -> Any:
        return classes[spec.type.partition("@")[0]]

    with OutputFolder(output_dir) as folder, contextlib.ExitStack() as stack:
        folder.check_shows_no_run("a single component")
        held = {name: stack.enter_context(hold_run(path)) for name, path in artifacts.items()}

        @dsl.pipeline(name=f"run-{component.name}")
        def single() -> dsl.Artifact:
            imported = {
                name: dsl.importer(
                    artifact_uri=str(path), artifact_class=artifact_class(inputs[name]), reimport=True
                ).output
                for name, path in held.items()
            }
            task = component(**imported, **(arguments or {}))
            return task.outputs[next(iter(outputs))]

        root = folder.path / f".{TASKS}"
        shutil.rmtree(root, ignore_errors=True)
        try:
            root.mkdir()
            with (root / LOG_NAME).open("w", encoding="utf-8", errors="backslashreplace") as log:
                made = run_tasks(single, {}, root, display=Display(detail=Detail.QUIET), log=log)
            source = Path(next(iter(made.values())).path).parent
            paths = {}
            for name in outputs:
                paths[name] = output_dir / NAMES.get(name, name)
                _replace(source / name, paths[name])
        finally:
            shutil.rmtree(root, ignore_errors=True)
    return paths


def _list_artifacts(spec: Any, group: str = "") -> set[str]:
    """Returns the names of the artifacts of all tasks of a pipeline, except those under a condition.

    Args:
        spec: the pipeline's spec.
        group: name of the component whose tasks to list; empty for those of the pipeline.
    """
    names: set[str] = set()
    for task in (spec.components[group] if group else spec.root).dag.tasks.values():
        component = spec.components[task.component_ref.name]
        if not task.trigger_policy.condition:
            names |= component.output_definitions.artifacts.keys()
            names |= _list_artifacts(spec, task.component_ref.name)
    return names


def _move(artifacts: Mapping[str, Path], run_dir: Path) -> dict[str, Path]:
    """Moves the artifacts that exist to their stable names in the folder of the run."""
    paths = {}
    for name, source in artifacts.items():
        target = run_dir / NAMES.get(name, name)
        if source.exists() and not target.exists():
            source.rename(target)
            paths[name] = target
    return paths


def _replace(source: Path, target: Path) -> None:
    """Moves a file or folder; an existing target is replaced."""
    old = target.with_name(f".{target.name}.old")
    _remove(old)
    if target.exists():
        target.rename(old)
    shutil.move(source, target)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
