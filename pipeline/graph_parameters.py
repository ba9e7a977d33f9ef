"""The components of each pipeline, and which of their parameters are not the user's to set."""

from typing import Any

from components.evaluate.component import evaluate
from components.export.component import export
from components.gate.component import gate
from components.ingest.component import ingest
from components.notify.component import notify
from components.publish.component import publish
from components.report.component import report
from components.sessionize.component import sessionize
from components.suggest.component import suggest
from components.train.component import train
from components.verify.component import verify
from components.vocabulary.component import vocabulary

# The components of the tasks that `Tasks.from_events` creates, and of those that follow them in the retraining.
_MODEL = (vocabulary, train, evaluate, export, report)
_PUBLICATION = (gate, verify, publish, notify)
# The components of each pipeline, in the order of their tasks.
COMPONENTS = {
    "training": (ingest, *_MODEL),
    "tuning": (ingest, suggest, *_MODEL),
    "raw-tuning": (sessionize, suggest, *_MODEL),
    "retraining": (sessionize, *_MODEL, *_PUBLICATION),
}
ALL_COMPONENTS = (ingest, sessionize, *_MODEL, *_PUBLICATION, suggest)

# By what a task names its record. `Tasks` sets them.
RECORD_PARAMETERS = ("run_id", "task_name")
# All parameters that `Tasks` sets itself: of every component, of `vocabulary`, of the trials of a search, and of those
# after the gate.
TASK_PARAMETERS = (*RECORD_PARAMETERS, "include_test", "point", "trial", "outcomes")
PUBLICATION_PARAMETERS = ("publication_key", "champion_version", "pipeline_name", "status")
# With a gate, it judges the recall of the index, and `verify` that of the second one; the exports do not.
UNCHECKED_INDEX = {"min_index_recall": 0.0}
# Parameters of the pipelines that a local run sets itself, to folders in its output folder.
LOCAL_PARAMETERS = ("checkpoint_root", "records_uri")
# Parameters that say where something is written, or who writes it, and change no result.
WITHOUT_EFFECT = (*LOCAL_PARAMETERS, *RECORD_PARAMETERS)

# The parameters by which a task reads or writes external data. Tasks get the object store's secret in the pipelines
# that have the parameters. Every task writes its record.
OUTSIDE_PARAMETERS = {
    "ingest": ("train_path", "valid_path", "test_path", "previous_events", "records_uri"),
    "sessionize": ("log_path", "previous_events", "records_uri"),
    "vocabulary": ("records_uri",),
    "train": ("serving_uri", "records_uri"),
    "evaluate": ("serving_uri", "records_uri"),
    "export": ("records_uri",),
    "gate": ("records_uri",),
    "verify": ("records_uri",),
    "publish": ("serving_uri", "records_uri"),
    "notify": ("records_uri",),
    "report": ("items_path", "records_uri"),
    "recommend": ("sessions_path", "serving_uri", "records_uri"),
}


def list_inputs(pipeline: str) -> dict[str, Any]:
    """Returns the inputs of a pipeline's components, by name, that `Tasks` does not set for every pipeline.

    Args:
        pipeline: a key of COMPONENTS.
    """
    fixed = (*TASK_PARAMETERS, *PUBLICATION_PARAMETERS)
    return {
        name: spec
        for component in COMPONENTS[pipeline]
        for name, spec in component.component_spec.inputs.items()
        if "@" not in spec.type and name not in fixed
    }
