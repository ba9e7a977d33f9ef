"""What a real API server answered about runs of the training pipeline (Kubeflow Pipelines 2.17.0, own configuration).

Each file of `kubeflow_api/` holds, of one run, the answer of the API's second version, the nodes of the workflow that
the first version has, and the ends of some pods' logs.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "kubeflow_api"
CASES = sorted(path.stem for path in FOLDER.glob("*.json"))


@dataclass(frozen=True)
class Case:
    """A recorded run."""

    run: dict[str, Any]
    workflow: dict[str, Any]
    logs: dict[str, str]

    @property
    def end(self) -> dict[str, Any]:
        """What a look finds that has found what was recorded."""
        names = ("state", "state_history", "run_details", "finished_at")
        return {**{name: self.run[name] for name in names}, "workflow": self.workflow}

    def at(self, time: str) -> dict[str, Any]:
        """What a look at an earlier time has found: nodes that had not ended then were running."""
        nodes = {}
        for key, node in self.workflow["status"]["nodes"].items():
            if node["startedAt"] <= time:
                nodes[key] = dict(node)
                if node.get("finishedAt", time) > time:
                    nodes[key]["phase"] = "Running"
                    del nodes[key]["finishedAt"]
                    nodes[key].pop("message", None)
        status = {"phase": "Running", "nodes": nodes}
        return {"state": "RUNNING", "workflow": {"metadata": self.workflow["metadata"], "status": status}}


def load(name: str) -> Case:
    document = json.loads((FOLDER / f"{name}.json").read_text())
    recorded = document["v1beta1 workflow_manifest (metadata.name, status)"]
    status = {"phase": recorded["phase"], "nodes": {node["id"]: node for node in recorded["nodes"]}}
    if recorded["message"]:
        status["message"] = recorded["message"]
    return Case(
        run=document["v2beta1 run"],
        workflow={"metadata": {"name": recorded["name"]}, "status": status},
        logs=document.get("v1alpha1 node logs (last 1,200 characters)", {}),
    )
