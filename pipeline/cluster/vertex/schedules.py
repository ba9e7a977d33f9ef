"""Schedules on Vertex AI Pipelines, kept as they are described.

Vertex changes a schedule in place, in one call, and leaves its runs alone; only its state is a call of its own. A
schedule that is to be paused is paused before it is changed, and one that is to run is changed before it is resumed:
no run starts that was not asked for. Vertex does not keep names unique either, so others of the same name are deleted
first. What cannot be changed is replaced: the old schedule is paused, the new one created, the old one deleted.
Broken off at any point there is always a schedule of that name and never two that run, and the next call ends in the
same state.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

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

TIMEOUT_SECONDS = 60.0
# A schedule is born active. One that is to be paused must not start a run before the next call pauses it.
_HEAD_START = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class VertexSchedules:
    """The schedules of a project in a location; see `pipeline.cluster.schedule.Schedules`.

    Attributes:
        service: google-cloud-aiplatform's ScheduleServiceClient.
        project: Google Cloud project.
        location: region.
    """

    service: Any
    project: str
    location: str

    @property
    def parent(self) -> str:
        """Where the schedules and their jobs are."""
        return f"projects/{self.project}/locations/{self.location}"

    def find(self) -> list[Listed]:
        """Lists this tool's schedules, the oldest first."""
        states = {"ACTIVE": "enabled", "PAUSED": "paused", "COMPLETED": "completed"}
        return [
            Listed(name=one.name, times=one.fields["times"], state=states.get(one.state, one.state), id=one.id)
            for one in self._list_installed()
        ]

    def plan(self, schedule: Schedule) -> list[str]:
        """Says what `apply` would change; changes nothing."""
        return _plan(schedule, *self._choose(schedule))

    def apply(self, schedule: Schedule) -> list[str]:
        """Makes the project have exactly this schedule of its name."""
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
            ClusterError: there is none of that name, or more than one to resume.
        """
        installed = select(self._list_installed(), name)
        if not enabled:
            self._pause(installed)
        elif require_one(installed).state != "ACTIVE":
            self._resume(installed[0])

    def delete(self, name: str) -> None:
        """Deletes a schedule; its runs go on.

        Raises:
            ClusterError: there is none of that name.
        """
        self._delete(select(self._list_installed(), name))

    def _list_installed(self) -> list[Installed]:
        request = {"parent": self.parent, "filter": "create_pipeline_job_request:*", "order_by": "create_time"}
        schedules = self.service.list_schedules(request=request, timeout=TIMEOUT_SECONDS)
        return [read_message(schedule) for schedule in schedules if is_ours(schedule)]

    def _choose(self, schedule: Schedule) -> tuple[Installed | None, list[Installed]]:
        """Finds the schedule that can become the wanted one with the fewest changes, and the others of its name."""
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
        created = self.service.create_schedule(parent=self.parent, schedule=message, timeout=TIMEOUT_SECONDS)
        if not schedule.enabled:
            self._pause([read_message(created)])

    def _update(self, installed: Installed, schedule: Schedule) -> None:
        """Changes what differs, in one call."""
        from google.protobuf.field_mask_pb2 import FieldMask

        wanted = describe_wanted(schedule, installed)
        paths = sorted({path for key, path in FIELDS.items() if installed.fields[key] != wanted[key]})
        if paths:
            message = make_message(schedule, parent=self.parent)
            message.name = installed.id
            message.create_pipeline_job_request.pipeline_job.service_account = wanted["service account"]
            self.service.update_schedule(schedule=message, update_mask=FieldMask(paths=paths), timeout=TIMEOUT_SECONDS)

    def _pause(self, schedules: Iterable[Installed]) -> None:
        for schedule in schedules:
            if schedule.state == "ACTIVE":
                self.service.pause_schedule(name=schedule.id, timeout=TIMEOUT_SECONDS)

    def _resume(self, schedule: Installed) -> None:
        self.service.resume_schedule(name=schedule.id, catch_up=False, timeout=TIMEOUT_SECONDS)

    def _delete(self, schedules: Iterable[Installed]) -> None:
        from google.api_core.exceptions import NotFound

        for schedule in schedules:
            try:
                operation = self.service.delete_schedule(name=schedule.id, timeout=TIMEOUT_SECONDS)
                operation.result(timeout=TIMEOUT_SECONDS)
            except NotFound:  # somebody else was faster
                continue


def connect(*, project: str, location: str, credentials: Any = None) -> VertexSchedules:
    """Connects to a project's schedules in a location.

    Args:
        project: Google Cloud project.
        location: region.
        credentials: by default the application default credentials.

    Raises:
        ValueError: the project or the location is not given.
    """
    check_place(project, location)
    credentials = credentials or find_credentials()
    from google.cloud import aiplatform_v1

    service = aiplatform_v1.ScheduleServiceClient(
        credentials=credentials,
        client_options={"api_endpoint": f"{location}-aiplatform.googleapis.com"},
    )
    return VertexSchedules(service=service, project=project, location=location)


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
    """Whether it can become what is wanted: the service changes none that is completed, and takes no end back."""
    return installed.state in ("ACTIVE", "PAUSED") and not installed.ends


def _must_forget_catch_up(installed: Installed, schedule: Schedule) -> bool:
    """Whether it would run as wanted, but make up for what it misses: only pausing and resuming changes that."""
    return schedule.enabled and installed.state == "ACTIVE" and installed.catch_up
