"""A schedule as it should be, and what can be done with those of a cluster, whatever kind it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pipeline.cluster.cron import Cron
from pipeline.cluster.submission import ClusterError, Submission


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A recurring run as it should be.

    Attributes:
        name: what it is found by; unique among the schedules of this tool.
        cron: when a run starts.
        submission: what runs.
        enabled: whether it runs at all.
        cluster_time_zone: the zone in which a Kubeflow cluster's controller reads cron expressions.

    Raises:
        ValueError: the name is empty or too long, or the cluster cannot express the times.
    """

    name: str
    cron: Cron
    submission: Submission
    enabled: bool = True
    cluster_time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > 128:
            raise ValueError(f"Expected a name of 1 to 128 characters for the schedule. Received: {self.name!r}")
        if self.submission.tasks.platform == "kfp":
            self.cron.render_kfp(self.cluster_time_zone)

    @property
    def times(self) -> str:
        """When it runs, as a person writes it."""
        return f"{' '.join(self.cron.expression.split())} {self.cron.time_zone}"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A schedule as a list shows it."""

    name: str
    times: str
    state: str
    id: str


class Schedules(Protocol):
    """The schedules of this tool on one cluster. Those of others are neither shown nor changed."""

    def find(self) -> list[Listed]:
        """Lists them."""

    def plan(self, schedule: Schedule) -> list[str]:
        """Says what `apply` would change, a line each; changes nothing."""

    def apply(self, schedule: Schedule) -> list[str]:
        """Makes the cluster have exactly this schedule of its name: no catch-up, one run at a time.

        Broken off at any point, the next call ends in the same state.

        Returns:
            What was changed, as `plan` says it; empty if all was right.
        """

    def set_enabled(self, name: str, *, enabled: bool) -> None:
        """Resumes or pauses a schedule; a run in progress goes on.

        Raises:
            ClusterError: there is none of that name, or more than one to resume.
        """

    def delete(self, name: str) -> None:
        """Deletes a schedule.

        Raises:
            ClusterError: there is none of that name.
        """


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Installed = TypeVar("_Installed", bound=_Named)


def select(installed: Sequence[_Installed], name: str) -> list[_Installed]:
    """Gives those of a name.

    Raises:
        ClusterError: there is none.
    """
    selected = [one for one in installed if one.name == name]
    if not selected:
        names = ", ".join(sorted({one.name for one in installed})) or "none"
        raise ClusterError(f"Expected a schedule, one of {names}. Received: {name!r}")
    return selected


def require_one(installed: Sequence[_Installed]) -> _Installed:
    """Gives the only one.

    Raises:
        ClusterError: there are more.
    """
    if len(installed) > 1:
        raise ClusterError(f"Expected one schedule {installed[0].name!r}; apply it again. Received: {len(installed)}")
    return installed[0]


def list_differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "~   ") -> list[str]:
    """Says what differs between two descriptions, a line each; what is in one only has a default in the other."""
    lines = []
    for key in {**before, **after}:
        old, new = before.get(key, "default"), after.get(key, "default")
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines.extend(list_differences(old, new, f"{prefix}{key}."))
        elif old != new:
            lines.append(f"{prefix}{key}: {old} -> {new}")
    return lines
