"""Schedules on Vertex AI Pipelines.

Vertex changes a schedule in place, in one call, without affecting its runs; pausing and resuming are separate calls. To
avoid unwanted runs, a schedule is paused before a change, and resumed after it. Vertex allows duplicate names, so other
schedules of the same name are deleted first. A schedule that cannot be changed is replaced: the old one is paused, the
new one created, the old one deleted. If a call is interrupted at any point, a schedule of that name exists, never two
are active, and the next call ends in the same state.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.cluster.deadline import CallError, Deadline
from pipeline.cluster.schedule import Listed, Schedule, list_differences, require_one, select
from pipeline.cluster.vertex.client import check_place, find_credentials
from pipeline.cluster.vertex.schedule_messages import (
    FIELDS,
    Installed,
    compile_schedule,
    describe_wanted,
    is_ours,
    make_message,
    read_message,
)

# A schedule is active when it is created. A paused one must not start a run before the next call pauses it.
_HEAD_START = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class VertexSchedules:
    """The schedules of a project in a location; see `pipeline.cluster.schedule.Schedules`.

    Attributes:
        service: a ScheduleServiceClient of google-cloud-aiplatform.
        project: Google Cloud project.
        location: region.
        deadline: the deadline of all calls.
    """

    service: Any
    project: str
    location: str
    deadline: Deadline = field(default_factory=Deadline)

    @property
    def parent(self) -> str:
        """Resource name of the location."""
        return f"projects/{self.project}/locations/{self.location}"

    def find(self) -> list[Listed]:
        """Lists the schedules of this tool, oldest first."""
        states = {"ACTIVE": "enabled", "PAUSED": "paused", "COMPLETED": "completed"}
        return [
            Listed(name=one.name, times=one.fields["times"], state=states.get(one.state, one.state), id=one.id)
            for one in self._list_installed()
        ]

    def plan(self, schedule: Schedule) -> list[str]:
        """Describes what `apply` would change, without changing anything."""
        return _plan(schedule, *self._choose(schedule))

    def apply(self, schedule: Schedule) -> list[str]:
        """Creates, changes or replaces the schedule of this name."""
        kept, others = self._choose(schedule)
        lines = _plan(schedule, kept, others)
        if kept is None:
            self._pause(others)
            self._create(schedule)
            self._delete(others)
            return lines
        self._delete(others)
        if not schedule.enabled or _must_forget_catch_up(kept, schedule):
            self._pause([kept])
        self._update(kept, schedule)
        if schedule.enabled and (kept.state == "PAUSED" or kept.catch_up):
            self._resume(kept)
        return lines

    def set_enabled(self, name: str, *, enabled: bool) -> None:
        """Resumes or pauses a schedule.

        Raises:
            ClusterError: no schedule has that name, or there are several to resume.
        """
        installed = select(self._list_installed(), name)
        if not enabled:
            self._pause(installed)
        elif require_one(installed).state != "ACTIVE":
            self._resume(installed[0])

    def delete(self, name: str) -> None:
        """Deletes a schedule; its runs continue.

        Raises:
            ClusterError: no schedule has that name.
        """
        self._delete(select(self._list_installed(), name))

    def _list_installed(self) -> list[Installed]:
        request = {"parent": self.parent, "filter": "create_pipeline_job_request:*", "order_by": "create_time"}
        schedules: list[Any] = []
        tokens: list[str] = []
        while not tokens or tokens[-1]:
            page = self._call(self.service.list_schedules, request={**request, "page_token": "".join(tokens[-1:])})
            schedules.extend(page.schedules)
            if page.next_page_token in tokens:
                raise CallError(f"the same page {page.next_page_token!r} of the schedules twice")
            tokens.append(page.next_page_token)
        return [read_message(schedule) for schedule in schedules if is_ours(schedule)]

    def _call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        """Calls a method of the service, with the remaining time as its timeout."""
        return self.deadline.call(lambda: method(**arguments, timeout=self.deadline.client_timeout))

    def _choose(self, schedule: Schedule) -> tuple[Installed | None, list[Installed]]:
        """Selects the schedule that needs the fewest changes, and the others of the same name."""
        installed = [one for one in self._list_installed() if one.name == schedule.name]

        def count_changes(one: Installed) -> int:
            changes = list_differences(one.fields, describe_wanted(schedule, one))
            return len(changes) + ((one.state == "ACTIVE") != schedule.enabled)

        kept = min((one for one in installed if _can_be_changed(one)), key=count_changes, default=None)
        return kept, [one for one in installed if one is not kept]

    def _create(self, schedule: Schedule) -> None:
        message = make_message(schedule, parent=self.parent)
        if not schedule.enabled:
            message.start_time = datetime.now(tz=UTC) + _HEAD_START
        created = self._call(self.service.create_schedule, parent=self.parent, schedule=message)
        if not schedule.enabled:
            self._pause([read_message(created)])

    def _update(self, installed: Installed, schedule: Schedule) -> None:
        """Updates all fields that differ, in one call."""
        from google.protobuf.field_mask_pb2 import FieldMask

        wanted = describe_wanted(schedule, installed)
        paths = sorted({path for key, path in FIELDS.items() if installed.fields[key] != wanted[key]})
        if paths:
            message = make_message(schedule, parent=self.parent)
            message.name = installed.id
            message.create_pipeline_job_request.pipeline_job.service_account = wanted["service account"]
            self._call(self.service.update_schedule, schedule=message, update_mask=FieldMask(paths=paths))

    def _pause(self, schedules: Iterable[Installed]) -> None:
        for schedule in schedules:
            if schedule.state == "ACTIVE":
                self._call(self.service.pause_schedule, name=schedule.id)

    def _resume(self, schedule: Installed) -> None:
        self._call(self.service.resume_schedule, name=schedule.id, catch_up=False)

    def _delete(self, schedules: Iterable[Installed]) -> None:
        from google.api_core.exceptions import NotFound

        for schedule in schedules:
            try:
                operation = self._call(self.service.delete_schedule, name=schedule.id)
                self._call(operation.result)
            except NotFound:  # already deleted by another process
                continue


def connect(
    *, project: str, location: str, credentials: Any = None, deadline: Deadline | None = None
) -> VertexSchedules:
    """Connects to a project's schedules in a location.

    Args:
        project: Google Cloud project.
        location: region.
        credentials: by default, the application default credentials.
        deadline: the deadline of all calls.

    Raises:
        ValueError: the project or the location is not given.
    """
    check_place(project, location)
    deadline = deadline or Deadline()
    credentials = credentials or deadline.call(find_credentials)
    from google.cloud import aiplatform_v1

    service = aiplatform_v1.ScheduleServiceClient(
        credentials=credentials,
        client_options={"api_endpoint": f"{location}-aiplatform.googleapis.com"},
    )
    return VertexSchedules(service=service, project=project, location=location, deadline=deadline)


def _plan(schedule: Schedule, kept: Installed | None, others: Iterable[Installed]) -> list[str]:
    title = f"{schedule.name}: {schedule.times}, version {compile_schedule(schedule).content_hash}"
    lines = []
    if kept is None:
        lines.append(f"+ {title}")
    else:
        changes = list_differences(kept.fields, describe_wanted(schedule, kept))
        if changes:
            lines.extend([f"~ {title}", *changes])
        if (kept.state == "ACTIVE") != schedule.enabled:
            lines.append(f"~ {schedule.name}: {'enable' if schedule.enabled else 'disable'}")
        elif _must_forget_catch_up(kept, schedule):
            lines.append(f"~ {schedule.name}: no catch-up")
    return lines + [f"- {other.name}: {other.id}" for other in others]


def _can_be_changed(installed: Installed) -> bool:
    """Returns whether the schedule can be updated: a completed one cannot, and an end cannot be removed."""
    return installed.state in ("ACTIVE", "PAUSED") and not installed.ends


def _must_forget_catch_up(installed: Installed, schedule: Schedule) -> bool:
    """Returns whether an active schedule catches up on missed runs; only pausing and resuming it changes that."""
    return schedule.enabled and installed.state == "ACTIVE" and installed.catch_up
