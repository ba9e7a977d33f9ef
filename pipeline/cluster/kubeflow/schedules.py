"""Schedules on a Kubeflow Pipelines cluster.

KFP cannot change a schedule, allows duplicate names, and kills a run in progress when its schedule is deleted. So a
changed schedule is replaced: the new one is created disabled, the old one is disabled, the new one is enabled, and the
old one is deleted after its last run has ended. Two schedules are never enabled at the same time. If a call is
interrupted after any step, the next call ends in the same state.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import kfp_server_api

from pipeline.cluster.kubeflow.client import Client, list_all
from pipeline.cluster.kubeflow.runs import Version, get_experiment_id, prepare_version
from pipeline.cluster.run import EXIT_CODES
from pipeline.cluster.schedule import Listed, Schedule, list_differences, require_one, select
from pipeline.cluster.submission import ClusterError

# Prefix of the description of this tool's schedules, before the times. Other schedules are never changed or deleted.
OWNER = "two-tower schedule: "


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A schedule on the cluster; KFP calls it a recurring run."""

    id: str
    name: str
    enabled: bool
    cron: str
    description: str
    parameters: Mapping[str, Any]
    pipeline_id: str
    version_id: str
    experiment_id: str
    no_catchup: bool
    max_concurrency: int
    service_account: str
    pipeline_root: str


@dataclass(frozen=True, kw_only=True)
class KfpSchedules:
    """The schedules of the client's namespace; see `pipeline.cluster.schedule.Schedules`.

    Attributes:
        client: the client from `connect`.
        retire_seconds: maximum wait for the last run of a schedule that is replaced or deleted.
    """

    client: Client
    retire_seconds: float = 3600.0

    def find(self) -> list[Listed]:
        """Lists the schedules of this tool, oldest first."""
        return [
            Listed(
                name=one.name,
                times=one.description.removeprefix(OWNER),
                state="enabled" if one.enabled else "paused",
                id=one.id,
            )
            for one in _list_installed(self.client)
        ]

    def plan(self, schedule: Schedule) -> list[str]:
        """Describes what `apply` would change, without changing or uploading anything."""
        version = prepare_version(self.client, schedule.submission, upload=False)
        installed = _list_installed(self.client, schedule.name)
        kept = _choose(self.client, schedule, version, installed)
        lines = []
        if kept is None:
            lines.append(f"+ {schedule.name}: {schedule.times}, version {version.name}")
            for old in installed[-1:]:
                lines.extend(list_differences(_describe(self.client, old), _describe_wanted(schedule, version, old)))
        elif kept.enabled != schedule.enabled:
            lines.append(f"~ {schedule.name}: {'enable' if schedule.enabled else 'disable'}")
        lines.extend(f"- {old.name}: {old.id}" for old in installed if old is not kept)
        return lines

    def apply(self, schedule: Schedule) -> list[str]:
        """Creates or replaces the schedule of this name.

        Raises:
            ClusterError: the run of a replaced schedule takes longer than `retire_seconds`; the new schedule is
                then in effect, and the old one is disabled.
        """
        lines = self.plan(schedule)
        if not lines:
            return lines
        version = prepare_version(self.client, schedule.submission)
        installed = _list_installed(self.client, schedule.name)
        kept = _choose(self.client, schedule, version, installed) or _create(self.client, schedule, version)
        old = [other for other in installed if other.id != kept.id]
        _disable(self.client, old)
        if kept.enabled != schedule.enabled:
            switch = self.client.enable_recurring_run if schedule.enabled else self.client.disable_recurring_run
            switch(kept.id)
        _delete(self.client, old, self.retire_seconds)
        return lines

    def set_enabled(self, name: str, *, enabled: bool) -> None:
        """Resumes or pauses a schedule.

        Raises:
            ClusterError: no schedule has that name, or there are several to resume.
        """
        installed = select(_list_installed(self.client), name)
        if not enabled:
            _disable(self.client, installed)
        elif not require_one(installed).enabled:
            self.client.enable_recurring_run(installed[0].id)

    def delete(self, name: str) -> None:
        """Deletes a schedule after its last run has ended.

        Raises:
            ClusterError: no schedule has that name, or its run takes longer than `retire_seconds`.
        """
        installed = select(_list_installed(self.client), name)
        _disable(self.client, installed)
        _delete(self.client, installed, self.retire_seconds)


def _list_installed(client: Client, name: str | None = None) -> list[Installed]:
    """Lists the schedules of this tool, or those of one name, oldest first."""
    runs = list_all(client.list_recurring_runs, "recurring_runs", namespace=client.get_user_namespace() or None)
    found = [_read(run) for run in runs if (run.description or "").startswith(OWNER)]
    return [schedule for schedule in found if name is None or schedule.name == name]


def _choose(client: Client, schedule: Schedule, version: Version, installed: list[Installed]) -> Installed | None:
    """Finds a schedule that already matches; an enabled one if there are several."""
    right = [one for one in installed if _describe(client, one) == _describe_wanted(schedule, version, one)]
    return next((one for one in right if one.enabled), right[0] if right else None)


def _describe_wanted(schedule: Schedule, version: Version, installed: Installed) -> dict[str, Any]:
    """Describes the wanted schedule; a service account that is not set is taken from `installed`."""
    submission = schedule.submission
    return {
        "pipeline": version.pipeline_name,
        "version": version.name,
        "cron": schedule.cron.render_kfp(schedule.cluster_time_zone),
        "description": OWNER + schedule.times,
        "parameters": dict(submission.parameters),
        "experiment": submission.experiment,
        "service account": submission.service_account or installed.service_account,
        "pipeline root": submission.pipeline_root,
        "catch-up": False,
        "concurrent runs": 1,
    }


def _describe(client: Client, installed: Installed) -> dict[str, Any]:
    """Describes a schedule on the cluster by names; an object that no longer exists is `gone`."""
    return {
        "pipeline": _get_name(lambda: client.get_pipeline(installed.pipeline_id)),
        "version": _get_name(lambda: client.get_pipeline_version(installed.pipeline_id, installed.version_id)),
        "cron": installed.cron,
        "description": installed.description,
        "parameters": dict(installed.parameters),
        "experiment": _get_name(lambda: client.get_experiment(installed.experiment_id)),
        "service account": installed.service_account,
        "pipeline root": installed.pipeline_root,
        "catch-up": not installed.no_catchup,
        "concurrent runs": installed.max_concurrency,
    }


def _get_name(get: Callable[[], Any]) -> str:
    try:
        return str(get().display_name)
    except kfp_server_api.ApiException as error:
        if error.status == 404:
            return "gone"
        raise


def _create(client: Client, schedule: Schedule, version: Version) -> Installed:
    submission = schedule.submission
    return _read(
        client.create_recurring_run(
            get_experiment_id(client, submission.experiment),
            schedule.name,
            description=OWNER + schedule.times,
            cron_expression=schedule.cron.render_kfp(schedule.cluster_time_zone),
            max_concurrency=1,
            no_catchup=True,
            params=dict(submission.parameters),
            pipeline_id=version.pipeline_id,
            version_id=version.version_id,
            enabled=False,
            pipeline_root=submission.pipeline_root or None,
            service_account=submission.service_account or None,
        )
    )


def _disable(client: Client, schedules: Iterable[Installed]) -> None:
    for schedule in schedules:
        if schedule.enabled:
            client.disable_recurring_run(schedule.id)


def _delete(client: Client, schedules: Iterable[Installed], retire_seconds: float, poll_seconds: float = 10.0) -> None:
    deadline = time.monotonic() + retire_seconds
    for schedule in schedules:
        while run_id := _find_active_run(client, schedule):
            if time.monotonic() >= deadline:
                raise ClusterError(
                    f"Expected the last run of the old schedule to end within {retire_seconds:.0f} s. Received: run "
                    f"{run_id} continues. The old schedule is disabled; repeat the command later to delete it"
                )
            time.sleep(min(poll_seconds, retire_seconds))
            client.deadline.restart()
        try:
            client.delete_recurring_run(schedule.id)
        except kfp_server_api.ApiException as error:
            if error.status != 404:  # the answer to an earlier call may have been lost
                raise


def _find_active_run(client: Client, schedule: Installed) -> str | None:
    """Finds a run of the schedule that has not ended."""
    runs = list_all(client.list_runs, "runs", experiment_id=schedule.experiment_id)
    mine = (run for run in runs if run.recurring_run_id == schedule.id and run.state not in EXIT_CODES)
    return next((str(run.run_id) for run in mine), None)


def _read(run: Any) -> Installed:
    reference = run.pipeline_version_reference
    trigger = run.trigger.cron_schedule if run.trigger else None
    config = run.runtime_config
    return Installed(
        id=run.recurring_run_id,
        name=run.display_name,
        enabled=(run.status or run.mode) in ("ENABLED", "ENABLE"),
        cron=(trigger.cron if trigger else "") or "",
        description=run.description or "",
        parameters=(config.parameters if config else None) or {},
        pipeline_id=reference.pipeline_id if reference else "",
        version_id=reference.pipeline_version_id if reference else "",
        experiment_id=run.experiment_id or "",
        no_catchup=bool(run.no_catchup),
        max_concurrency=int(run.max_concurrency or 0),
        service_account=run.service_account or "",
        pipeline_root=(config.pipeline_root if config else None) or "",
    )
