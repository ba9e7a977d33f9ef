"""The manifests of docs/manifests are what their readers expect, and start the server with options that it has."""

import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from kubernetes import client

from components.image import USER_ID
from components.serve import options
from components.serve.parameters import ServeParameters

FOLDER = Path(__file__).parents[2] / "docs" / "manifests"
KINDS = {
    "Deployment": client.V1Deployment,
    "Service": client.V1Service,
    "HorizontalPodAutoscaler": client.V2HorizontalPodAutoscaler,
    "PodDisruptionBudget": client.V1PodDisruptionBudget,
}
OPENED = {f"--{each.name.replace('_', '-')}" for each in fields(ServeParameters)}


def read(name):
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def check_type(value, kind, place):
    """Checks that a value has the fields of a type of the Kubernetes API, at any depth."""
    if match := re.fullmatch(r"list\[(.*)\]", kind):
        assert isinstance(value, list), place
        for number, each in enumerate(value):
            check_type(each, match[1], f"{place}[{number}]")
    elif match := re.fullmatch(r"dict\(str, (.*)\)", kind):
        for name, each in value.items():
            check_type(each, match[1], f"{place}.{name}")
    elif kind in ("str", "int", "bool"):
        assert type(value).__name__ == kind, place
    elif hasattr(client, kind):
        model = getattr(client, kind)
        names = {written: name for name, written in model.attribute_map.items()}
        assert isinstance(value, dict), place
        assert value.keys() <= names.keys(), (place, value.keys() - names.keys())
        for written, each in value.items():
            check_type(each, model.openapi_types[names[written]], f"{place}.{written}")


def test_kubernetes_knows_every_field():
    documents = read("kubernetes.yaml")
    assert {each["kind"] for each in documents} == KINDS.keys()
    for each in documents:
        check_type(each, KINDS[each["kind"]].__name__, each["kind"])


def test_the_parts_of_the_deployment_belong_together():
    by_kind = {each["kind"]: each for each in read("kubernetes.yaml")}
    deployment = by_kind["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert by_kind["Service"]["spec"]["selector"] == labels
    assert by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    target = by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", by_kind["Deployment"]["metadata"]["name"])
    pod = deployment["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == USER_ID
    (container,) = pod["containers"]
    port = dict(zip(container["args"][::2], container["args"][1::2], strict=True))["--port"]
    assert [each["containerPort"] for each in container["ports"]] == [int(port)]
    # SIGTERM comes after the pause, and what runs then is answered before the pod is killed.
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    default = next(each.default for each in fields(ServeParameters) if each.name == "shutdown_seconds")
    assert pod["terminationGracePeriodSeconds"] > pause + default
    least = by_kind["HorizontalPodAutoscaler"]["spec"]["minReplicas"]
    assert least > by_kind["PodDisruptionBudget"]["spec"]["minAvailable"]


def find_commands():
    (container,) = read("kubernetes.yaml")[0]["spec"]["template"]["spec"]["containers"]
    return [[*container["command"], *container["args"]], read("compose.yaml")[0]["services"]["server"]["command"]]


@pytest.mark.parametrize("command", find_commands(), ids=["kubernetes", "compose"])
def test_the_command_is_one_that_the_server_takes(command, monkeypatch):
    assert command[:3] == ["python", "-m", "components.serve"]
    assert set(command[3::2]) <= OPENED
    seen = []
    monkeypatch.setattr("components.serve.preparation.prepare", lambda parameters: None)
    monkeypatch.setattr("components.serve.step.serve", lambda parameters, prepared: seen.append(parameters))
    ran = CliRunner().invoke(options.serve_command, command[3:])
    assert ran.exit_code == 0, ran.output
    assert seen[0].serving == "s3://models/shop"
    assert seen[0].host == "0.0.0.0"  # noqa: S104


def test_compose_names_only_what_is_there():
    (compose,) = read("compose.yaml")
    services = compose["services"]
    assert services.keys() == {"store", "bucket", "server"}
    for service in services.values():
        assert set(service.get("depends_on", {})) <= services.keys()
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"]
        for config in service.get("configs", []):
            assert config["source"] in compose["configs"]
    assert services["server"]["read_only"] is True
    for published in services["server"]["ports"] + services["store"]["ports"]:
        assert published.startswith("127.0.0.1:")  # nothing of it has a login


def test_compose_is_valid_for_docker():
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("needs the plug-in docker compose")
    command = [docker, "compose", "--file", str(FOLDER / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"TWO_TOWER_IMAGE": "two-tower:1"})
    assert done.returncode == 0, done.stderr


def test_kserve_reads_a_saved_model():
    (service,) = read("kserve.yaml")
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    model = service["spec"]["predictor"]["model"]
    assert model["modelFormat"]["name"] == "tensorflow"
    assert model["protocolVersion"] == "v1"
