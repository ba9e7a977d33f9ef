"""Messages as Kubernetes and Argo write them. The recorded ones are in test_recorded.py."""

import re

import pytest

from pipeline.cluster.kubeflow.causes import double, find_cause, find_exception, find_fatal, halve, was_killed

RESOURCES = {"cpu": "4", "memory": "8Gi", "memory_limit": "32Gi", "timeout_hours": "24"}
MESSAGES = [
    ("", "starting", "gives no reason"),
    ("PodInitializing", "starting", "gives no reason"),
    (
        "Unschedulable: 0/3 nodes are available: 1 node(s) had untolerated taint {dedicated: x}, 2 Insufficient "
        "memory. preemption: 0/3 nodes are available.",
        "room",
        "needs 8Gi of memory, no node has it free: --resource train.memory=4Gi (0/3 nodes are available: 1 node(s) had "
        "untolerated taint {dedicated: x}, 2 Insufficient memory)",
    ),
    ("Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.", "room", "needs 4 CPUs, .* train.cpu=2"),
    (
        "Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu. x",
        "room",
        "needs nvidia.com/gpu, no node",
    ),
    (
        "Unschedulable: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: 0/1",
        "room",
        "kubectl get nodes says whether they are ready; .* node_selector are set in the file of --platform",
    ),
    (
        'Unschedulable: 0/1 nodes are available: persistentvolumeclaim "checkpoints" not found. not found',
        "missing",
        "the volume claim checkpoints does not exist .* --checkpoint-claim",
    ),
    (
        "Unschedulable: 0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1",
        "missing",
        "not bound to a volume",
    ),
    (
        'ErrImagePull: failed to pull and unpack image "registry.example/two-tower:1": failed to resolve reference '
        '"registry.example/two-tower:1": registry.example/two-tower:1: not found',
        "image",
        r"the image registry.example/two-tower:1 cannot be pulled: .* \(registry.example/two-tower:1: not found\)",
    ),
    (
        'InvalidImageName: couldn\'t parse image name "Two:Tower:1": invalid reference format',
        "image",
        "cannot be pulled",
    ),
    (
        'CreateContainerConfigError: configmap "proxy" not found',
        "missing",
        "the configmap proxy does not exist .* --platform",
    ),
    (
        "CreateContainerConfigError: couldn't find key AWS_ACCESS_KEY_ID in Secret kubeflow/object-store",
        "missing",
        "^couldn't find key AWS_ACCESS_KEY_ID in Secret kubeflow/object-store$",
    ),
    ("main: OOMKilled (exit code 137)", "memory", "^killed at its memory limit of 32Gi: .*train.memory_limit=64Gi$"),
    (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. Container main was using "
        "9Gi, request is 8Gi, has larger consumption of memory. ",
        "evicted",
        "--resource train.memory=16Gi$",
    ),
    (
        "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
        "evicted",
        "evicted from its node: Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.$",
    ),
    ("Preempted in order to admit critical pod", "evicted", "Preempted in order to admit critical pod"),
    (
        "Pod was active on the node longer than the specified deadline",
        "deadline",
        "^stopped at its time limit of 24 hours: --resource train.timeout_hours=48$",
    ),
    ("pod deleted", "lost", "its pod was lost"),
    ("Pod was terminated in response to imminent node shutdown.", "lost", "node shutdown"),
    ("main: Error (exit code 143)", "lost", "its pod was lost"),
    (
        'pods "x" is forbidden: exceeded quota: compute, requested: limits.memory=32Gi, used: 0, limited: 16Gi',
        "refused",
        "the cluster refuses its pod: .*limited: 16Gi",
    ),
    ('pods "x" is forbidden: violates PodSecurity "restricted:latest": seccompProfile', "refused", "PodSecurity"),
    ('admission webhook "policy.example" denied the request: no registry', "refused", "no registry"),
    ("main: Error (exit code 1)", "exception", r"^Error \(exit code 1\)$"),
    ("something new", "unknown", "^something new$"),
]


@pytest.mark.parametrize(("message", "kind", "text"), MESSAGES)
def test_a_message_says_what_to_do(message: str, kind: str, text: str) -> None:
    cause = find_cause(message, component="train", resources=RESOURCES)
    assert cause.kind == kind
    assert cause.text == text or re.search(text, cause.text), cause.text
    assert cause.is_in_log == (kind == "exception")


@pytest.mark.parametrize(("message", "kind"), [(message, kind) for message, kind, _ in MESSAGES])
def test_unknown_resources_are_not_made_up(message: str, kind: str) -> None:
    cause = find_cause(message, component="train", resources={})
    assert cause.kind == kind
    assert "--resource" not in cause.text


@pytest.mark.parametrize(
    ("component", "options"),
    [("train", {"--object-store-secret"}), ("notify", {"--object-store-secret", "--webhook-secret"})],
)
def test_the_options_that_may_name_a_missing_secret(component: str, options: set[str]) -> None:
    message = 'CreateContainerConfigError: secret "webhook" not found'
    text = find_cause(message, component=component, resources=RESOURCES).text
    assert text.startswith("the secret webhook does not exist in the namespace of the run: create it, or name another")
    assert set(re.findall(r"--[\w-]+", text)) == options


def test_quantities() -> None:
    assert [halve(each) for each in ("4", "3", "1", "100m", "8Gi", "3Gi", "1Mi")] == [
        "2", "1500m", "500m", "50m", "4Gi", "1536Mi", "512Ki",
    ]  # fmt: skip
    assert [double(each) for each in ("4", "500m", "32Gi", "1.5Gi")] == ["8", "1000m", "64Gi", "3Gi"]


LAUNCHER = "E1126 14:33:47.339282      16 launcher_v2.go:449] Component failed to execute successfully: exit status 1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    f()\nValueError: Expected x.\n',
            "Expected x.",
        ),
        ('  File "a.py", line 1\n    f()\n    ^^^\nValueError: Expected x.\nReceived: y\n', "Expected x.\nReceived: y"),
        ('  File "a.py", line 1\n    f()\nValueError: Expected x.\n\nnoise\n', "Expected x."),
        (
            '  File "a.py", line 1\n    f()\nKeyError: 1\n\nDuring handling of the above exception, another one:\n\n'
            'Traceback (most recent call last):\n  File "a.py", line 2\n    g()\nValueError: the second\n',
            "the second",
        ),
    ],
    ids=["plain", "two lines", "noise after it", "the last of two"],
)
def test_the_message_of_an_exception_without_its_traceback(text: str, message: str) -> None:
    assert find_exception(f"Epoch 1/6\n{text}{LAUNCHER}more\n") == f"ValueError: {message}"


def test_exceptions_of_libraries_and_without_a_message() -> None:
    begin = '  File "a.py", line 1\n    f()\n'
    assert find_exception(f"{begin}pyarrow.lib.ArrowInvalid: bad\n{LAUNCHER}") == "ArrowInvalid: bad"
    assert find_exception(f"{begin}AssertionError\n{LAUNCHER}") == "AssertionError"


@pytest.mark.parametrize("text", ["", "Epoch 1/6\nWarning: slow\n", f"Epoch 1/6\nKilled\n{LAUNCHER}"])
def test_a_log_without_an_exception(text: str) -> None:
    assert find_exception(text) == ""


FATAL = "F1126 14:33:47.352174      16 main.go:59] failed to execute component: "


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (f"{LAUNCHER}{FATAL}exit status 1\n", ""),
        (f"{LAUNCHER}{FATAL}exit status 137\n", ""),
        (
            f"{LAUNCHER}{FATAL}failed to upload output artifact model: no bucket\n",
            "failed to upload output artifact model: no bucket",
        ),
        ("F1126 14:33:47.352174       1 main.go:88] KFP driver: no secret\n", "KFP driver: no secret"),
        (
            "F1127 17:05:37.000000      16 main.go:88] KFP driver: failed to resolve inputs: failed to get executions "
            'in DAG(executionID=230): two tasks have the same task name "index-check_230", id1=237 id2=240\n',
            "KFP has registered the task index-check twice, since the pod of its driver was lost; submit again, since "
            '`runs retry` fails in the same way (two tasks have the same task name "index-check_230")',
        ),
        ("", ""),
        ("First epoch\n", ""),
    ],
)
def test_an_error_of_kfp_itself(log: str, message: str) -> None:
    assert find_fatal(log) == message


def test_a_process_that_was_killed_without_its_pod() -> None:
    assert was_killed(f"Killed\n{FATAL}exit status 137\n")
    assert not was_killed(f"{FATAL}exit status 1\n")
