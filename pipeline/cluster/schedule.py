"""A wanted schedule, and the interface to the schedules of any kind of cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pipeline.cluster.cron import Cron
from pipeline.cluster.submission import ClusterError, Submission


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A wanted schedule.

    Attributes:
        name: its name, unique among the schedules of this tool.
        cron: when a run starts.
        submission: what to run.
        enabled: whether the schedule starts runs.
        cluster_time_zone: time zone in which the controller of a Kubeflow cluster evaluates cron expressions.

    Raises:
        ValueError: the name is empty or too long, the cluster cannot express the times, the gate is overridden, or the
            cluster is no Kubeflow and has a time zone.
    """

    name: str
    cron: Cron
    submission: Submission
    enabled: bool = True
    cluster_time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > 128:
            raise ValueError(f"Expected a name of 1 to 128 characters for the schedule. Received: {self.name!r}")
        if self.submission.parameters.get("gate_override"):
            raise ValueError(
                "Expected no gate_override in a schedule, where it would publish whatever each run trains; set it for "
                f"a single run. Received: {self.submission.parameters['gate_override']!r}"
            )
        if self.submission.tasks.platform != "kfp" and self.cluster_time_zone != type(self).cluster_time_zone:
            raise ValueError(
                "Expected the target kfp for the time zone of its controller (--cluster-time-zone). "
                f"Received: {self.cluster_time_zone!r}"
            )
        if self.submission.tasks.platform == "kfp":
            self.cron.render_kfp(self.cluster_time_zone)

    @property
    def times(self) -> str:
        """The cron expression and its time zone, for display."""
        return f"{' '.join(self.cron.expression.split())} {self.cron.time_zone}"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An entry of a list of schedules."""

    name: str
    times: str
    state: str
    id: str


class Schedules(Protocol):
    """The schedules of this tool on one cluster. Other schedules are neither shown nor changed."""

    def find(self) -> list[Listed]:
        """Lists the schedules."""

    def plan(self, schedule: Schedule) -> list[str]:
        """Describes what `apply` would change, one change per line, without changing anything."""

    def apply(self, schedule: Schedule) -> list[str]:
        """Creates, changes or replaces the schedule of this name: no catch-up, one run at a time.

        If a call is interrupted at any point, the next call ends in the same state.

        Returns:
            The changes, in the format of `plan`; empty if nothing had to change.
        """

    def set_enabled(self, name: str, *, enabled: bool) -> None:
        """Resumes or pauses a schedule. A run in progress continues.

        Raises:
            ClusterError: no schedule has that name, or there are several to resume.
        """

    def delete(self, name: str) -> None:
        """Deletes a schedule.

        Raises:
            ClusterError: no schedule has that name.
        """


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Installed = TypeVar("_Installed", bound=_Named)


def select(installed: Sequence[_Installed], name: str) -> list[_Installed]:
    """Selects the schedules of a name.

    Raises:
        ClusterError: there is none.
    """
    selected = [one for one in installed if one.name == name]
    if not selected:
        names = ", ".join(sorted({one.name for one in installed})) or "none"
        raise ClusterError(f"Expected a schedule, one of {names}. Received: {name!r}")
    return selected


def require_one(installed: Sequence[_Installed]) -> _Installed:
    """Returns the only schedule.

    Raises:
        ClusterError: there is more than one.
    """
    if len(installed) > 1:
        raise ClusterError(
            f"Expected one schedule {installed[0].name!r}; apply it again. Received: {len(installed)} of that name"
        )
    return installed[0]


def list_differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "~   ") -> list[str]:
    """Lists the differences of two descriptions, one per line; a missing key counts as `default`."""
    lines = []
    for key in {**before, **after}:
        old, new = before.get(key, "default"), after.get(key, "default")
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines.extend(list_differences(old, new, f"{prefix}{key}."))
        elif old != new:
            lines.append(f"{prefix}{key}: {old} -> {new}")
    return lines
