"""What a cluster gets. The golden files are written anew by `python compile.py` with the arguments below."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from google.cloud.aiplatform.utils import yaml_utils
from google.protobuf import json_format
from kfp import components
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline.compilation import PIPELINES, compile_pipeline
from pipeline.tasks import RESOURCES, Tasks

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
IMAGE = "registry.example/two-tower:1.0.0-0123456789ab"
ARGUMENTS = {
    "kfp": {
        "--accelerator": "nvidia.com/gpu",
        "--object-store-secret": "object-store",
        "--checkpoint-claim": "two-tower-checkpoints",
    },
    "vertex": {"--accelerator": "NVIDIA_L4", "--accelerator-count": "2"},
}
CASES = [(name, target) for name in PIPELINES for target in ARGUMENTS]


def run_compile(*arguments: str) -> Result:
    spec = importlib.util.spec_from_file_location("compile_py", ROOT / "compile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return CliRunner().invoke(module.main, arguments)


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    name, target = request.param
    path = tmp_path_factory.mktemp("compiled") / f"{name}.{target}.yaml"
    extra = [part for pair in ARGUMENTS[target].items() for part in pair]
    done = run_compile("--pipeline", name, "--target", target, "--image", IMAGE, *extra, "-o", str(path))
    assert done.exit_code == 0, done.output
    return name, target, path


def read(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def list_components(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"root": spec["root"], **spec["components"]}


def list_tasks(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    tasks: dict[str, dict[str, Any]] = {}
    for component in list_components(spec).values():
        tasks.update(component.get("dag", {}).get("tasks", {}))
    return tasks


def test_golden_files(compiled: tuple[str, str, Path]) -> None:
    path = compiled[2]
    assert path.read_text() == (GOLDEN / path.name).read_text(), "if this was meant, copy the new file over the golden"


def test_proto_and_the_loaders_of_the_sdks_accept_it(compiled: tuple[str, str, Path]) -> None:
    _, target, path = compiled
    documents = read(path)
    spec = json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
    assert spec.schema_version == "2.1.0"
    if target == "kfp":
        assert len(documents) == 2
        json_format.ParseDict(documents[1], pipeline_spec_pb2.PlatformSpec())
        assert components.load_component_from_file(str(path)).name == spec.pipeline_info.name
    else:
        assert len(documents) == 1
        assert "kubernetes" not in path.read_text()
        assert yaml_utils.load_yaml(str(path))["pipelineInfo"]["name"] == spec.pipeline_info.name


def test_every_parameter_of_the_form_has_a_type_and_a_description(compiled: tuple[str, str, Path]) -> None:
    for name, spec in read(compiled[2])[0]["root"]["inputDefinitions"]["parameters"].items():
        assert spec["parameterType"] in ("STRING", "NUMBER_INTEGER", "NUMBER_DOUBLE", "BOOLEAN", "LIST")
        assert spec["description"], name


def test_nothing_is_installed_when_a_task_starts(compiled: tuple[str, str, Path]) -> None:
    for name, executor in read(compiled[2])[0]["deploymentSpec"]["executors"].items():
        container = executor["container"]
        assert container["image"] == IMAGE, name
        command = " ".join([*container["command"], *container["args"]])
        assert not any(word in command for word in ("pip ", "ensurepip", "apt", "curl ", "wget ")), name


def test_only_what_reads_the_outside_world_is_not_cached(compiled: tuple[str, str, Path]) -> None:
    for name, task in list_tasks(read(compiled[2])[0]).items():
        if "executorLabel" in read(compiled[2])[0]["components"][task["componentRef"]["name"]]:
            cached = task.get("cachingOptions", {}).get("enableCache", False)
            if name in ("ingest", "sessionize"):
                assert not cached, name
            elif name in ("vocabulary", "train", "evaluate", "export"):
                assert cached, name


def test_tasks_have_resources_and_retries(compiled: tuple[str, str, Path]) -> None:
    _, target, path = compiled
    spec = read(path)[0]
    for name, executor in spec["deploymentSpec"]["executors"].items():
        resources = executor["container"]["resources"]
        assert {"cpuLimit", "cpuRequest", "memoryLimit", "memoryRequest"} <= set(resources), name
        if name == "exec-train":
            expected = {"kfp": ("nvidia.com/gpu", "1"), "vertex": ("NVIDIA_L4", "2")}[target]
            assert (resources["accelerator"]["type"], resources["accelerator"]["count"]) == expected
        else:
            assert "accelerator" not in resources, name
    retry = list_tasks(spec)["train"]["retryPolicy"]
    assert retry == {
        "maxRetryCount": RESOURCES["train"].num_retries,
        "backoffDuration": "60s",
        "backoffFactor": 2.0,
        "backoffMaxDuration": "3600s",
    }


def test_pods_on_kubernetes() -> None:
    spec, platform = read(GOLDEN / "training.kfp.yaml")
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name, pod in executors.items():
        assert pod["securityContext"] == {"runAsUser": "10001", "runAsGroup": "10001", "runAsNonRoot": True}
        assert int(pod["activeDeadlineSeconds"]) > 0
        assert pod["podMetadata"]["labels"]["app.kubernetes.io/component"] == name.removeprefix("exec-")
        assert ("secretAsEnv" in pod) == (name == "exec-ingest")
    train = executors["exec-train"]
    assert train["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert train["emptyDirMounts"][0]["mountPath"] == "/dev/shm"  # noqa: S108
    (volume,) = train["pvcMount"]
    assert (volume["constant"], volume["mountPath"]) == ("two-tower-checkpoints", "/checkpoints")
    inputs = list_tasks(spec)["train"]["inputs"]["parameters"]
    assert inputs["checkpoint_root"]["runtimeValue"]["constant"] == "/checkpoints"


def test_compiling_loads_no_tensorflow() -> None:
    code = """
import sys, compile, pipeline.__main__
print([name for name in sys.modules if name.startswith(("tensorflow", "tf_keras"))])
"""
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--image", "two-tower"],
        ["--image", "two-tower:latest"],
        ["--accelerator", "NVIDIA_L4"],
        ["--target", "vertex", "--accelerator", "nvidia.com/gpu"],
        ["--target", "vertex", "--object-store-secret", "store"],
        ["--target", "vertex", "--checkpoint-claim", "checkpoints"],
        ["--accelerator", "nvidia.com/gpu", "--accelerator-count", "0"],
    ],
)
def test_refuses_what_a_cluster_would_misunderstand(arguments: list[str], tmp_path: Path) -> None:
    done = run_compile(*arguments, "-o", str(tmp_path / "out.yaml"))
    assert done.exit_code == 1
    assert done.stderr.startswith("compile.py: Expected ")
    assert "Received: " in done.stderr
    assert not (tmp_path / "out.yaml").exists()


def test_the_same_settings_have_the_same_hash() -> None:
    tasks = Tasks(image=IMAGE, platform="kfp")
    compiled = compile_pipeline("training", tasks)
    compile_pipeline.cache_clear()
    assert compile_pipeline("training", tasks).content_hash == compiled.content_hash
    other = compile_pipeline("training", Tasks(image=IMAGE, platform="vertex"))
    assert other.content_hash != compiled.content_hash


def test_local_tasks_do_not_compile_for_a_cluster() -> None:
    with pytest.raises(ValueError, match="Received: 'local'"):
        compile_pipeline("training", Tasks(image=IMAGE))
    with pytest.raises(ValueError, match="Received: 'nothing'"):
        compile_pipeline("nothing", Tasks(image=IMAGE, platform="kfp"))
