"""Running pipelines and single components on this machine, with the KFP local runner."""

import contextlib
import fcntl
import io
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kfp import dsl, local

# The stable names of a run's artifacts under its output folder.
OUTPUT_NAMES = {
    "events": "events",
    "vocabulary": "vocabulary.parquet",
    "model": "model",
    "tensorboard": "tensorboard",
    "metrics": "metrics.json",
    "index": "index",
    "embeddings": "embeddings.parquet",
}

_ERROR_LINE = re.compile(r"^\s*(?:\w+\.)*\w*(?:Error|Exception): .+")


class RunError(RuntimeError):
    """A task of a local run failed; the message is the task's own."""


def run_pipeline(
    pipeline: Any, arguments: Mapping[str, Any], output_dir: Path, *, runner: Any = None
) -> dict[str, Path]:
    """Runs a pipeline and leaves its artifacts under `output_dir` at the names of OUTPUT_NAMES.

    What an earlier run left there is replaced only when this one has succeeded.

    Args:
        pipeline: a pipeline, from source or loaded from its compiled YAML.
        arguments: its parameters.
        output_dir: where the artifacts are to lie.
        runner: KFP's local runner; by default each task is a process of this interpreter.

    Returns:
        Where each artifact lies, by its name in the pipeline.

    Raises:
        RunError: a task failed.
    """
    with _make_root(output_dir) as root:
        outputs = _run(pipeline, arguments, root, runner)
        paths = {}
        for name, artifact in outputs.items():
            if not isinstance(artifact, dsl.Artifact):
                continue
            if not Path(artifact.path).exists():
                raise RunError(f"Expected the run to leave the artifact {name!r}. Received: nothing at its path")
            paths[name] = output_dir / OUTPUT_NAMES.get(name, name)
            _replace(Path(artifact.path), paths[name])
    return paths


def run_training(
    pipeline: Any, arguments: Mapping[str, Any], output_dir: Path, *, runner: Any = None
) -> dict[str, Path]:
    """Runs a pipeline with a training in it; killed and started again it goes on from the last epoch.

    Args:
        pipeline: as for `run_pipeline`, with a parameter `checkpoint_root`.
        arguments: as for `run_pipeline`.
        output_dir: as for `run_pipeline`; checkpoints lie in it until the run has succeeded.
        runner: as for `run_pipeline`.

    Returns:
        Where each artifact lies, by its name in the pipeline.

    Raises:
        RunError: a task failed.
    """
    checkpoint_root = output_dir.resolve() / ".checkpoints"
    paths = run_pipeline(pipeline, {"checkpoint_root": str(checkpoint_root), **arguments}, output_dir, runner=runner)
    _remove(checkpoint_root)
    return paths


def run_component(
    component: Any,
    output_dir: Path,
    *,
    artifacts: Mapping[str, Path] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """Runs one component alone, on artifacts that lie on this disk.

    KFP takes such artifacts only through `dsl.importer`; this wraps the component in a pipeline that imports them.

    Args:
        component: such as `components.train.component.train`.
        output_dir: where its output artifacts are to lie.
        artifacts: paths of its input artifacts, by the name of the input.
        arguments: its parameters.

    Returns:
        Where each output artifact lies, by name.

    Raises:
        FileNotFoundError: an input artifact is not there.
        RunError: the task failed.
    """
    artifacts = artifacts or {}
    for name, path in artifacts.items():
        if not path.exists():
            raise FileNotFoundError(f"Expected the artifact {name!r} on disk. Received a path with nothing: {path}")
    classes = {cls.schema_title: cls for cls in (dsl.Artifact, dsl.Dataset, dsl.Model, dsl.Metrics)}
    inputs = component.component_spec.inputs or {}
    outputs = component.component_spec.outputs or {}

    def artifact_class(spec: Any) -> Any:
        return classes[spec.type.partition("@")[0]]

    @dsl.pipeline(name=f"run-{component.name}")
    def single() -> dsl.Artifact:
        imported = {
            name: dsl.importer(
                artifact_uri=str(path.resolve()), artifact_class=artifact_class(inputs[name]), reimport=True
            ).output
            for name, path in artifacts.items()
        }
        task = component(**imported, **(arguments or {}))
        return task.outputs[next(iter(outputs))]

    with _make_root(output_dir) as root:
        made = _run(single, {}, root)
        folder = Path(next(iter(made.values())).path).parent
        paths = {}
        for name in outputs:
            paths[name] = output_dir / OUTPUT_NAMES.get(name, name)
            _replace(folder / name, paths[name])
    return paths


@contextlib.contextmanager
def _make_root(output_dir: Path) -> Iterator[Path]:
    """Makes a folder for one run and removes it in the end, with those that runs left which were killed.

    Each is locked while its run lives, and a lock dies with its process: a folder that can be locked is nobody's. The
    lock on `output_dir` keeps others from looking at a folder that is there, but not locked yet.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        with _locked(output_dir, wait=True):
            for folder in output_dir.glob(".run-*"):
                with _locked(folder, wait=False) as is_left:
                    if is_left:
                        shutil.rmtree(folder, ignore_errors=True)
            root = stack.enter_context(tempfile.TemporaryDirectory(prefix=".run-", dir=output_dir))
            stack.enter_context(_locked(Path(root), wait=False))
        yield Path(root)


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Locks a folder during the block, and says whether it could: not if it is gone, or on a disk without locks."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        is_locked = True
    except OSError:
        is_locked = False
    try:
        yield is_locked
    finally:
        os.close(descriptor)


def _run(pipeline: Any, arguments: Mapping[str, Any], root: Path, runner: Any = None) -> dict[str, Any]:
    """Runs under KFP's local runner and gives the outputs; KFP's global configuration is put back."""
    before = local.config.LocalExecutionConfig.instance
    log = _ErrorLog(sys.stdout)
    try:
        runner = runner or local.SubprocessRunner(use_venv=False)
        local.init(runner, pipeline_root=str(root), raise_on_error=True)
        with contextlib.redirect_stdout(log), warnings.catch_warnings():
            # The subprocess runner does not use the image, this interpreter has what it holds; and a compiled
            # pipeline's requests for a cluster mean nothing here.
            warnings.filterwarnings("ignore", "You may be attemping to run a task", RuntimeWarning)
            warnings.filterwarnings("ignore", "Task .* settings .* have no effect in the current local runner")
            return dict(pipeline(**arguments).outputs)
    except RuntimeError as error:
        raise RunError(log.last_error or str(error)) from error
    finally:
        local.config.LocalExecutionConfig.instance = before


class _ErrorLog(io.TextIOBase):
    """Passes on what is written and remembers the last line that names an exception: KFP's own error does not."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.last_error = ""
        self.line = ""

    def write(self, text: str) -> int:
        """Passes `text` on."""
        self.stream.write(text)
        *complete, self.line = (self.line + text).split("\n")
        for line in complete:
            if _ERROR_LINE.match(line):
                self.last_error = line.strip()
        return len(text)

    def flush(self) -> None:
        """Flushes what is behind it."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Whether the stream behind it is a terminal."""
        return bool(self.stream.isatty())


def _replace(source: Path, target: Path) -> None:
    """Moves a file or folder to a place where an older one may be."""
    old = target.with_name(f".{target.name}.old")
    _remove(old)
    if target.exists():
        target.rename(old)
    shutil.move(source, target)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
