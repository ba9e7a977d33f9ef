"""docs/manifests/katib.yaml has the fields that Katib's API knows, and starts trials with options that they have.

The fields are those of Katib's v1beta1 API, written down from its reference: pkg/apis/controller of kubeflow/katib.
"""

import argparse
import re
from pathlib import Path

import yaml
from kubernetes import client

from components.image import USER_ID
from components.suggest.spaces import parse_space
from components.train.options import add_parameters, read_parameters
from pipeline.search_space import check_space

PATH = Path(__file__).parents[2] / "docs" / "manifests" / "katib.yaml"
# Field: its type; a mapping stands for an object, a list of one for a list of objects.
EXPERIMENT = {
    "objective": {"type": str, "goal": float, "objectiveMetricName": str, "additionalMetricNames": list},
    "algorithm": {"algorithmName": str, "algorithmSettings": [{"name": str, "value": str}]},
    "maxTrialCount": int,
    "parallelTrialCount": int,
    "maxFailedTrialCount": int,
    "resumePolicy": str,
    "metricsCollectorSpec": {"collector": {"kind": str}, "source": {"filter": {"metricsFormat": list}}},
    "parameters": [
        {
            "name": str,
            "parameterType": str,
            "feasibleSpace": {"min": str, "max": str, "step": str, "list": list, "distribution": str},
        }
    ],
    "trialTemplate": {
        "retain": bool,
        "primaryContainerName": str,
        "primaryPodLabels": dict,
        "successCondition": str,
        "failureCondition": str,
        "trialParameters": [{"name": str, "reference": str, "description": str}],
        "trialSpec": dict,
    },
}
TYPES = {"double": float, "int": int}


def read():
    return yaml.safe_load(PATH.read_text(encoding="utf-8"))


def check(value, expected, place):
    """Checks that a value has the fields of EXPERIMENT, at any depth."""
    if isinstance(expected, dict):
        assert value.keys() <= expected.keys(), (place, value.keys() - expected.keys())
        for name, each in value.items():
            check(each, expected[name], f"{place}.{name}")
    elif isinstance(expected, list):
        for number, each in enumerate(value):
            check(each, expected[0], f"{place}[{number}]")
    else:
        assert type(value) is expected, place


def check_job(value, kind, place):
    """Checks that a value has the fields of a type of the Kubernetes API, at any depth."""
    if match := re.fullmatch(r"list\[(.*)\]", kind):
        for number, each in enumerate(value):
            check_job(each, match[1], f"{place}[{number}]")
    elif hasattr(client, kind):
        model = getattr(client, kind)
        names = {written: name for name, written in model.attribute_map.items()}
        assert value.keys() <= names.keys(), (place, value.keys() - names.keys())
        for written, each in value.items():
            check_job(each, model.openapi_types[names[written]], f"{place}.{written}")


def test_katib_and_kubernetes_know_every_field():
    document = read()
    assert (document["apiVersion"], document["kind"]) == ("kubeflow.org/v1beta1", "Experiment")
    check(document["spec"], EXPERIMENT, "spec")
    job = document["spec"]["trialTemplate"]["trialSpec"]
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    check_job(job, "V1Job", "trialSpec")
    pod = job["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == USER_ID
    assert [each["name"] for each in pod["containers"]] == [document["spec"]["trialTemplate"]["primaryContainerName"]]
    assert "never run on a cluster" in PATH.read_text().splitlines()[0]


def test_each_parameter_is_searched_for_and_passed_on():
    spec = read()["spec"]
    searched = [each["name"] for each in spec["parameters"]]
    declared = {each["name"]: each["reference"] for each in spec["trialTemplate"]["trialParameters"]}
    assert list(declared.values()) == searched
    (container,) = spec["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"]
    used = dict(re.findall(r"--([a-z-]+)=\$\{trialParameters\.(\w+)\}", "\n".join(container["command"])))
    assert [option.replace("-", "_") for option in used] == searched
    assert [declared[name] for name in used.values()] == searched
    parser = argparse.ArgumentParser()
    for name in ("--events", "--vocabulary"):
        parser.add_argument(name, required=True)
    add_parameters(parser)
    assert container["command"][:3] == ["python", "-m", "components.train.trial"]
    for end in ("min", "max"):
        filled = {
            name: each["feasibleSpace"].get(end) or each["feasibleSpace"]["list"][0]
            for name, each in zip(declared, spec["parameters"], strict=True)
        }
        options = [
            re.sub(r"\$\{trialParameters\.(\w+)\}", lambda match: filled[match[1]], text)  # noqa: B023
            for text in container["command"][3:]
        ]
        read_parameters(parser.parse_args(options))


def test_the_space_is_one_that_two_tower_tune_accepts():
    space = {}
    for each in read()["spec"]["parameters"]:
        feasible, kind = each["feasibleSpace"], TYPES.get(each["parameterType"])
        if kind is None:
            space[each["name"]] = {"choices": feasible["list"]}
            continue
        space[each["name"]] = {"low": kind(feasible["min"]), "high": kind(feasible["max"])}
        if "step" in feasible:
            space[each["name"]]["step"] = kind(feasible["step"])
        if feasible.get("distribution") == "logUniform":
            space[each["name"]]["log"] = True
    check_space(parse_space(yaml.safe_dump(space)), {})


def test_the_line_that_the_collector_reads():
    """Katib's default filter of a metric in a log: pkg/metricscollector/v1beta1/common/const.go."""
    source = (PATH.parents[2] / "components" / "train" / "trial.py").read_text()
    (written,) = re.findall(r'sys\.stdout\.write\(f"(\w+)=\{outcome\[\'value\'\]:\.8f\}\\n"\)', source)
    pattern = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"
    name, value, *_ = re.search(pattern, f"{written}={0.7312:.8f}").groups()
    assert (name, float(value)) == (read()["spec"]["objective"]["objectiveMetricName"], 0.7312)
