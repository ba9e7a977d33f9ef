"""Keys of a local run's tasks, by which a run that is started again takes over the tasks that have succeeded.

KFP's own keys contain the paths of input artifacts, not their contents, so they know neither that a log has changed nor
that a task of another attempt has made the same artifact.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from pipeline.graph_parameters import OUTSIDE_PARAMETERS, WITHOUT_EFFECT

# The tasks that read from outside at most files which this machine can hash; `evaluate` reads nothing from outside
# without a serving location. Other tasks that are not cached read what may change unseen.
READERS = ("ingest", "sessionize", "evaluate")
NESTED_WITHOUT_EFFECT = tuple(f"--{name}" for name in WITHOUT_EFFECT)  # of the groups of a pipeline


def make_keys(
    spec: Any, arguments: Mapping[str, Any], *, version: str, file_hashes: Mapping[str, str]
) -> dict[str, str]:
    """Returns a key for each task whose result depends on nothing else.

    A key is a hash of the component, its parameters, the hashes of the input files, the version of the sources, and
    the keys of the tasks before it. A task has none if it is not cached, other than READERS, if a task before it has
    none, or if it runs under a condition, in a loop, or whatever happens (as an exit task).

    Args:
        spec: the PipelineSpec.
        arguments: values of the pipeline's parameters.
        version: whatever else decides about the results: the version of the sources, the image.
        file_hashes: hashes of the input files by the parameter with their location. A reader whose location is not
            among them has no key.
    """
    inputs = spec.root.input_definitions.parameters
    defaults = {name: json_format.MessageToDict(each.default_value) for name, each in inputs.items()}
    keys: dict[str, str] = {}
    _add_keys(keys, spec, spec.root.dag, {**defaults, **arguments}, version, file_hashes)
    return keys


def _add_keys(
    keys: dict[str, str],
    spec: Any,
    dag: Any,
    values: Mapping[str, Any],
    version: str,
    file_hashes: Mapping[str, str],
) -> None:
    """Adds the keys of the tasks of a pipeline or of a group in it, whose parameters have the `values`."""
    for name in _sort(dag.tasks):
        task = dag.tasks[name]
        given = {
            key: _get_value(each, values)
            for key, each in task.inputs.parameters.items()
            if key not in WITHOUT_EFFECT and not key.endswith(NESTED_WITHOUT_EFFECT)
        }
        if task.trigger_policy.strategy:
            continue  # an exit task
        component = spec.components[task.component_ref.name]
        if component.HasField("dag"):
            if not task.trigger_policy.condition and task.WhichOneof("iterator") is None:
                _add_keys(keys, spec, component.dag, given, version, file_hashes)
            continue
        step = task.component_ref.name.removeprefix("comp-")
        locations = [key for key in OUTSIDE_PARAMETERS.get(step, ()) if given.get(key)]
        is_reader = step in READERS and all(key in file_hashes for key in locations)
        outputs = {key: each.task_output_artifact for key, each in task.inputs.artifacts.items()}
        is_repeatable = is_reader or task.caching_options.enable_cache
        if (
            not is_repeatable
            or given.get("warm_start")  # the published model may be another one by now
            or None in given.values()
            or any(each.producer_task not in keys for each in outputs.values())
        ):
            continue
        hashes = {key: file_hashes[key] for key in locations if is_reader}
        made = {key: [keys[each.producer_task], each.output_artifact_key] for key, each in outputs.items()}
        text = json.dumps([version, step, given, hashes, made], sort_keys=True, default=str)
        keys[name] = hashlib.sha256(text.encode()).hexdigest()[:32]


def _sort(tasks: Any) -> list[str]:
    """Returns the names of tasks, each after those whose artifacts it reads."""
    graph = {
        name: {each.task_output_artifact.producer_task for each in task.inputs.artifacts.values()} & set(tasks)
        for name, task in tasks.items()
    }
    return list(TopologicalSorter(graph).static_order())


def _get_value(source: Any, values: Mapping[str, Any]) -> Any:
    """Returns the value of a task's parameter; None if another task makes it."""
    if source.HasField("component_input_parameter"):
        return _normalize(values.get(source.component_input_parameter))
    if source.HasField("runtime_value"):
        return _normalize(json_format.MessageToDict(source.runtime_value.constant))
    return None


def _normalize(value: Any) -> Any:
    """Converts whole numbers to float, as which a specification holds all numbers."""
    if isinstance(value, list):
        return [_normalize(each) for each in value]
    return float(value) if type(value) is int else value


def hash_files(paths: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Hashes the local files of logs.

    Args:
        paths: locations of logs by the name of their parameter: files, folders or globs.

    Returns:
        By parameter: `path`, `files` (number), `bytes` and `sha256` of the paths and the contents of all files. A path
        is relative to what all of them have in common, and has all its folders with a value (`day=1/`), since those
        are columns of the log.
    """
    from components.core.logs.files import find_files

    described = {}
    for name, location in paths.items():
        digest, num_bytes = hashlib.sha256(), 0
        files = [Path(file.path) for file in find_files(location)]
        num_common = len(Path(os.path.commonpath([path.parent for path in files])).parts)
        for path in files:
            folders = path.parent.parts
            values = [folder for folder in folders[:num_common] if "=" in folder]
            relative = "/".join([*values, *folders[num_common:], path.name])
            digest.update(relative.encode(errors="surrogateescape") + f"\0{path.stat().st_size}\0".encode())
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
                    num_bytes += len(block)
        described[name] = {"path": location, "files": len(files), "bytes": num_bytes, "sha256": digest.hexdigest()}
    return described
