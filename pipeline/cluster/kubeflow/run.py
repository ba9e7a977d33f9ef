"""A run on a Kubeflow Pipelines cluster: looks at it, reads its logs, ends it."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import kfp_server_api

from pipeline.cluster.deadline import CallError
from pipeline.cluster.kubeflow.causes import DRIVER_PREFIX, find_cause, find_exception, find_fatal, was_killed
from pipeline.cluster.kubeflow.client import Client, explain_errors, list_all, make_run_url
from pipeline.cluster.kubeflow.outline import PlannedTask, TaskPath, name_component, read_outline
from pipeline.cluster.kubeflow.workflow import read_details, read_tasks
from pipeline.cluster.run import EXIT_CODES, Cause, ListedRun, Snapshot, TaskState
from pipeline.cluster.submission import NoLogError

# Time limit of the calls of one look at a run.
LOOK_SECONDS = 60.0


@dataclass
class Run:
    """A run; see `pipeline.cluster.run.Run`.

    Attributes:
        client: the client from `connect`.
        id: the run's id.
        host: URL of the API, for messages and for the URL of the run.
    """

    client: Client
    id: str
    host: str = ""
    _outline: Mapping[TaskPath, PlannedTask] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """URL of the run in the web interface."""
        return make_run_url(self.host, self.id)

    def look(self) -> Snapshot:
        """Returns the current state of the run and its tasks."""
        with explain_errors(self.host):
            self.client.deadline.restart(LOOK_SECONDS)
            run = self.client.get_run(self.id)
            if self._outline is None:
                self._outline = self._read_outline(run)
            workflow = self._read_workflow()
            cancelled, now = _find_cancellation(run), datetime.now(tz=UTC)
            # The history lacks a cancellation if the agent that reports to the API was away until the run had ended.
            if cancelled is None and (workflow.get("spec") or {}).get("activeDeadlineSeconds") == 0:
                cancelled = run.created_at
            if workflow:
                tasks = read_tasks(workflow, self._outline, now=now, cancelled=cancelled)
            else:
                details = (run.run_details.task_details if run.run_details else None) or []
                tasks = read_details(details, self._outline, now=now)
        state = "CANCELED" if cancelled and run.state == "FAILED" else str(run.state or "PENDING")
        return Snapshot(state=state, tasks=tasks, message=(workflow.get("status") or {}).get("message") or "")

    def explain(self, task: TaskState) -> Cause:
        """Returns why the last attempt of a task has failed; reads its log if that says more."""
        cause = task.cause or Cause(kind="unknown", text="the cluster gives no reason")
        if not cause.is_in_log:
            return cause
        log = self.read_log(task.log_id)
        error = find_exception(log) or find_fatal(log)
        if not error and was_killed(log):
            # The pod itself survives if only the task's process is killed.
            plans = [plan for plan in (self._outline or {}).values() if plan.name == task.name]
            resources = plans[0].resources if plans else {}
            return find_cause("OOMKilled", component=name_component(task.name), resources=resources)
        prefix = DRIVER_PREFIX if cause.text.startswith(DRIVER_PREFIX) else ""
        return dataclasses.replace(cause, text=prefix + error) if error else cause

    def read_log(self, log_id: str) -> str:
        """Returns the whole log of a pod, from the pod or from the cluster's archive.

        Raises:
            NoLogError: the cluster has no log of the pod.
        """
        path = "/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log"
        with explain_errors(self.host):
            self.client.deadline.restart(LOOK_SECONDS)
            answer = self._call(path, {"node_id": log_id}, _preload_content=False)
            data = self.client.deadline.call(lambda: answer.data)
        text = str(data.decode(errors="replace"))
        # The server answers with the status 200 before it looks for the log.
        if text.startswith('{"error_message"'):
            message = json.loads(text.partition("\n")[0])["error_message"]
            raise NoLogError(
                f"The cluster has no log of the pod {log_id}: its log was not archived, as when the pod was lost or "
                f"the object store was away. {message[:300]}"
            )
        return text

    def cancel(self) -> None:
        """Ends the run."""
        with explain_errors(self.host):
            self.client.terminate_run(self.id)

    def retry(self) -> None:
        """Starts the failed tasks of an ended run again."""
        with explain_errors(self.host):
            self.client._run_api.run_service_retry_run(run_id=self.id)

    def describe(self) -> dict[str, Any]:
        """Returns the run's name, description, start and parameters."""
        with explain_errors(self.host):
            run = self.client.get_run(self.id)
        parameters = (run.runtime_config.parameters if run.runtime_config else None) or {}
        return {
            "name": run.display_name,
            "description": run.description or "",
            "created": f"{run.created_at:%Y-%m-%d %H:%M:%S %Z}",
            "parameters": dict(parameters),
        }

    def _read_outline(self, run: Any) -> Mapping[TaskPath, PlannedTask]:
        """Reads the tasks of the compiled pipeline; empty if it was deleted."""
        document, reference = run.pipeline_spec, run.pipeline_version_reference
        if not document and reference:
            try:
                version = self.client.get_pipeline_version(reference.pipeline_id, reference.pipeline_version_id)
            except kfp_server_api.ApiException as error:
                if error.status != 404:
                    raise
                return {}
            document = version.pipeline_spec
        return read_outline(document or {})

    def _read_workflow(self) -> Mapping[str, Any]:
        """Reads the manifest of the workflow. Only the first version of the API has it; nowhere else are causes."""
        try:
            answer = self._call("/apis/v1beta1/runs/{run_id}", {}, response_type="object")
        except kfp_server_api.ApiException as error:
            if error.status != 404:
                raise
            return {}
        manifest = (answer.get("pipeline_runtime") or {}).get("workflow_manifest") or "{}"
        try:
            return dict(json.loads(manifest))
        except ValueError as error:
            raise CallError(f"a workflow that cannot be parsed: {error}") from error

    def _call(self, path: str, parameters: Mapping[str, str], **options: Any) -> Any:
        """Calls a method of the API that the generated client does not have."""
        return self.client._run_api.api_client.call_api(
            path,
            "GET",
            path_params={"run_id": self.id, **parameters},
            auth_settings=["Bearer"],
            _return_http_data_only=True,
            **options,
        )


def _find_cancellation(run: Any) -> datetime | None:
    """Returns when the run was cancelled, unless it was started again since.

    The final state of a cancelled run is FAILED; only its history shows the cancellation.
    """
    for status in reversed(run.state_history or []):
        if status.state == "CANCELING":
            return status.update_time  # type: ignore[no-any-return]
        if status.state not in EXIT_CODES:
            break
    return None


def list_runs(client: Client, experiment: str = "", *, limit: int = 100) -> list[ListedRun]:
    """Lists runs, newest first.

    Args:
        client: the client from `connect`.
        experiment: name of their experiment; empty for all of the client's namespace.
        limit: maximum number of runs.
    """
    arguments: dict[str, Any] = {"sort_by": "created_at desc"}
    if experiment:
        namespace = client.get_user_namespace() or None
        experiments = list_all(client.list_experiments, "experiments", namespace=namespace)
        ids = [one.experiment_id for one in experiments if one.display_name == experiment]
        if not ids:
            return []
        arguments["experiment_id"] = ids[0]
    else:
        arguments["namespace"] = client.get_user_namespace() or None
    runs = list_all(client.list_runs, "runs", limit=limit, **arguments)
    return [_read_listed(run) for run in runs[:limit]]


def _read_listed(run: Any) -> ListedRun:
    ended = run.state in EXIT_CODES and run.finished_at and run.finished_at >= run.created_at
    end = run.finished_at if ended else datetime.now(tz=UTC)
    return ListedRun(
        id=str(run.run_id),
        name=str(run.display_name),
        state="CANCELED" if run.state == "FAILED" and _find_cancellation(run) else str(run.state),
        created=run.created_at,
        seconds=max(0.0, (end - run.created_at).total_seconds()),
    )
