"""What Kubernetes and Argo say about a pod, in words that say what to do."""

import itertools
import re
from collections.abc import Callable, Mapping

from pipeline.cluster.run import Cause

# What Argo says while a pod starts as it should.
_STARTING = ("", "PodInitializing", "ContainerCreating")
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|Ki|Mi|Gi|Ti|k|M|G|T)?")
_SMALLER = {"": "m", "Ti": "Gi", "Gi": "Mi", "Mi": "Ki", "T": "G", "G": "M", "M": "k"}

# A line of KFP's launcher, in the format of glog.
_LAUNCHER_LINE = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ \S+\.go:\d+\] ")
# What KFP's drivers say of a task whose own driver was started again after it had registered the task.
_REGISTERED_TWICE = re.compile(r'two tasks have the same task name "([^"]+)_\d+"')
_EXCEPTION = re.compile(r"(?:[A-Za-z_]\w*\.)*([A-Z]\w*)(?:: (.*))?")
_MAX_MESSAGE = 1_000  # characters
# Before the causes of the pod that KFP starts before that of the task.
DRIVER_PREFIX = "KFP's driver pod of it: "


def find_cause(message: str, *, component: str, resources: Mapping[str, str]) -> Cause:
    """Explains the message of a pod's node.

    Args:
        message: the message, from Argo, the kubelet, the scheduler or an admission controller.
        component: name of the task's component, by which `--resource` knows it.
        resources: resources of the task by the names of `pipeline.resources.Resources`; those that are not known are
            missing.
    """
    message = " ".join(message.split())
    if message in _STARTING:
        return Cause(kind="starting", text="its pod has not started yet; the cluster gives no reason")
    for pattern, explain in _RULES:
        if found := re.search(pattern, message):
            return explain(found, message, component, resources)
    return Cause(kind="unknown", text=message)


def _no_room(_: re.Match[str], message: str, component: str, resources: Mapping[str, str]) -> Cause:
    if claim := re.search(r'persistentvolumeclaim "([^"]+)" not found', message):
        return Cause(
            kind="missing",
            text=f"the volume claim {claim[1]} does not exist in the namespace of the run: create it, or name another "
            "with --checkpoint-claim",
        )
    if "unbound immediate PersistentVolumeClaims" in message:
        return Cause(kind="missing", text="its volume claim is not bound to a volume: kubectl get pvc")
    said = message.partition(": ")[2].partition(". ")[0]
    for field, unit, them in (("cpu", "CPUs", "them"), ("memory", "of memory", "it")):
        if re.search(rf"Insufficient {field}\b", message):
            request = resources.get(field)
            if not request:
                return Cause(kind="room", text=f"no node has the {field} free that it requests ({said})")
            return Cause(
                kind="room",
                text=f"needs {request} {unit}, no node has {them} free: "
                f"--resource {component}.{field}={halve(request)} ({said})",
            )
    if other := re.search(r"Insufficient ([\w.-]+/[\w.-]*\w)", message):
        return Cause(
            kind="room",
            text=f"needs {other[1]}, no node has one free: add a node that has, or leave out --accelerator ({said})",
        )
    if re.search(r"taint|affinity|selector", message):
        return Cause(
            kind="room",
            text="no node accepts its pod: kubectl get nodes says whether they are ready; tolerations and "
            f"node_selector are set in the file of --platform ({said})",
        )
    return Cause(kind="room", text=f"no node has room for its pod ({said})")


def _no_image(_: re.Match[str], message: str, *__: object) -> Cause:
    image = re.search(r'image "([^"]+)"', message)
    said = ": ".join(message.split(": ")[-2:])
    return Cause(
        kind="image",
        text=f"the image{' ' + image[1] if image else ''} cannot be pulled: push it, or name another with --image; a "
        f"private registry needs image_pull_secrets in the file of --platform ({said})",
    )


def _no_config(found: re.Match[str], message: str, component: str, _: Mapping[str, str]) -> Cause:
    if missing := re.search(r'(secret|configmap) "([^"]+)" not found', message):
        option = {"secret": "--object-store-secret", "configmap": "--platform"}[missing[1]]
        if missing[1] == "secret" and component == "notify":  # the only one that may have two
            option = "the option that names it, --webhook-secret or --object-store-secret"
        return Cause(
            kind="missing",
            text=f"the {missing[1]} {missing[2]} does not exist in the namespace of the run: create it, or name "
            f"another with {option}",
        )
    return Cause(kind="missing", text=message.removeprefix(f"{found[0]}: "))


def _out_of_memory(_: re.Match[str], __: str, component: str, resources: Mapping[str, str]) -> Cause:
    limit = resources.get("memory_limit")
    if not limit:
        return Cause(kind="memory", text="killed at its memory limit")
    return Cause(
        kind="memory",
        text=f"killed at its memory limit of {limit}: --resource {component}.memory_limit={double(limit)}",
    )


def _evicted(_: re.Match[str], message: str, component: str, resources: Mapping[str, str]) -> Cause:
    request = resources.get("memory")
    advice = ""
    if "memory" in message and request:
        advice = f"; with a larger request it is evicted later: --resource {component}.memory={double(request)}"
    return Cause(kind="evicted", text=f"evicted from its node: {message}{advice}")


def _too_late(_: re.Match[str], __: str, component: str, resources: Mapping[str, str]) -> Cause:
    hours = resources.get("timeout_hours")
    if not hours:
        return Cause(kind="deadline", text="stopped at its time limit")
    return Cause(
        kind="deadline",
        text=f"stopped at its time limit of {hours} hours: --resource {component}.timeout_hours={2 * float(hours):g}",
    )


def _lost(_: re.Match[str], message: str, *__: object) -> Cause:
    return Cause(kind="lost", text=f"its pod was lost, for instance with its node ({message})")


def _refused(_: re.Match[str], message: str, *__: object) -> Cause:
    return Cause(kind="refused", text=f"the cluster refuses its pod: {message}")


def _exited(_: re.Match[str], message: str, *__: object) -> Cause:
    return Cause(kind="exception", text=message.removeprefix("main: "), is_in_log=True)


# The first pattern that is found decides.
_RULES: tuple[tuple[str, Callable[[re.Match[str], str, str, Mapping[str, str]], Cause]], ...] = (
    (r"OOMKilled", _out_of_memory),
    (r"ImagePullBackOff|ErrImage\w+|InvalidImageName|ImageInspectError", _no_image),
    (r"CreateContainerConfigError", _no_config),
    (r"is forbidden|exceeded quota|violates PodSecurity|admission webhook|denied the request", _refused),
    (r"^Unschedulable", _no_room),
    (r"low on resource|^Evicted|ephemeral local storage usage|[Pp]reempt", _evicted),
    (r"DeadlineExceeded|active on the node longer than|exceeded (its|workflow) deadline", _too_late),
    (r"pod deleted|[Nn]ode ?[Ll]ost|node shutdown|Pod was rejected|exit code 143", _lost),
    (r"exit code \d+", _exited),
)


def find_exception(log: str) -> str:
    """Returns the message of the exception that ended a log, with its type; empty if there is none.

    Args:
        log: the log of a task's pod, or its end: what the task printed, then lines of KFP's launcher.
    """
    lines = log.splitlines()
    for place in reversed(range(1, len(lines))):
        # The line of the exception follows the indented lines of the traceback's last frame.
        found = _EXCEPTION.fullmatch(lines[place])
        if found and lines[place - 1].startswith("  "):
            rest = itertools.takewhile(lambda line: line and not _LAUNCHER_LINE.match(line), lines[place + 1 :])
            message = "\n".join([found[2] or "", *rest]).strip()[:_MAX_MESSAGE]
            return f"{found[1]}: {message}" if message else found[1]
    return ""


def find_fatal(log: str) -> str:
    """Returns the error with which KFP's own driver or launcher ended, if it was its own; empty otherwise.

    A task that is registered twice stays so: all tasks that read outputs then fail, in a retry of the run too.
    """
    fatal = [line for line in log.splitlines() if line.startswith("F") and _LAUNCHER_LINE.match(line)]
    message = _LAUNCHER_LINE.sub("", fatal[-1]).removeprefix("failed to execute component: ") if fatal else ""
    if twice := _REGISTERED_TWICE.search(message):
        return (
            f"KFP has registered the task {twice[1]} twice, since the pod of its driver was lost; submit again, since "
            f"`runs retry` fails in the same way ({twice[0]})"
        )
    return "" if message.startswith("exit status") else message[:_MAX_MESSAGE]


def was_killed(log: str) -> bool:
    """Returns whether KFP's launcher says that the task's process was killed, which is what the memory limit does."""
    return "exit status 137" in log or "signal: killed" in log


def halve(quantity: str) -> str:
    """Returns half of a Kubernetes quantity."""
    found = _QUANTITY.fullmatch(quantity)
    if not found:
        return "..."
    value, unit = float(found[1]) / 2, found[2] or ""
    if value.is_integer() or unit not in _SMALLER:
        return f"{value:g}{unit}"
    return f"{value * (1024 if unit.endswith('i') else 1000):g}{_SMALLER[unit]}"


def double(quantity: str) -> str:
    """Returns twice a Kubernetes quantity."""
    found = _QUANTITY.fullmatch(quantity)
    return f"{2 * float(found[1]):g}{found[2] or ''}" if found else "..."
