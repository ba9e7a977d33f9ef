"""Index, towers and vocabulary -> a new version in the serving location."""

import json
import tempfile
from pathlib import Path
from typing import Any

from components.core.saved_model import read_training
from components.core.serving.location import open_location
from components.core.serving.manifest import SAVED_MODEL, TOWERS, VOCABULARY, Draft, Manifest, list_folder
from components.core.sources import hash_sources
from components.core.vocabulary import Vocabulary
from components.publish.parameters import PublishParameters
from components.publish.warm_up import WARM_UP_FILE, write_warm_up

NUM_WARM_UP_ITEMS = 100  # the most popular ones


def publish(
    index_dir: Path,
    model_dir: Path,
    vocabulary_path: Path,
    metrics_path: Path,
    verdict_path: Path | None,
    verification_path: Path | None,
    parameters: PublishParameters,
) -> Manifest:
    """Publishes an index with its towers and vocabulary as the next version.

    A retry with the same publication key publishes nothing and returns the version that the first attempt published.

    Args:
        index_dir: the SavedModel of the index.
        model_dir: the SavedModel of both towers.
        vocabulary_path: the vocabulary artifact.
        metrics_path: JSON with the metrics of the evaluated model.
        verdict_path: JSON with the verdict of the gate; None without a gate.
        verification_path: JSON of `verify`; None if the evaluated model itself is published.
        parameters: the parameters.

    Returns:
        The manifest of the published version.

    Raises:
        FileNotFoundError: an artifact has no saved_model.pb.
        ValueError: the metrics, the verdict or the verification are no JSON object with finite numbers, the model was
            not verified or not trained as `refit_on_test` says, or the index has an unknown input.
        RuntimeError: the index does not answer a request.
        PublishConflictError: another publisher was first.
        ServingError: the serving location cannot be read or written, or is damaged.
    """
    for folder in (index_dir, model_dir):
        if not (folder / SAVED_MODEL).is_file():
            raise FileNotFoundError(f"Expected a folder with {SAVED_MODEL}. Received: {folder}")
    training = read_training(model_dir)
    metrics = _read_json(metrics_path)
    verification = _read_json(verification_path) if verification_path else None
    _check_verified(training, verification, parameters)
    details = {
        "trained_until": training.get("trained_until"),
        "data_sha256": training.get("data_sha256"),
        "source_version": hash_sources(),
        "gate_override": parameters.gate_override or None,
        "rolled_back": None,
        "metrics": {name: value for name, value in metrics.items() if name not in training},
        "verdict": _read_json(verdict_path) if verdict_path else None,
        "verification": verification,
        "parameters": training["parameters"],
    }
    location = open_location(parameters.serving_uri)
    item_ids = Vocabulary.read(vocabulary_path).item_ids[:NUM_WARM_UP_ITEMS].to_pylist()
    with tempfile.TemporaryDirectory() as scratch:
        warm_up_path = Path(scratch, "requests")
        write_warm_up(index_dir, item_ids, warm_up_path)
        draft = Draft(
            publication_key=parameters.publication_key,
            index_files={**list_folder(index_dir), WARM_UP_FILE: warm_up_path},
            model_files={
                **{f"{TOWERS}/{name}": path for name, path in list_folder(model_dir).items()},
                VOCABULARY: vocabulary_path,
            },
            details=details,
            champion=None if parameters.champion_version == -1 else parameters.champion_version,
        )
        return location.publish(draft, keep=parameters.keep_versions)


def _check_verified(
    training: dict[str, Any], verification: dict[str, Any] | None, parameters: PublishParameters
) -> None:
    """Checks that a model that was trained on the test split was verified, and that no other one was."""
    if parameters.refit_on_test != (verification is not None):
        expected = "a verification of the model" if parameters.refit_on_test else "no verification of the model"
        raise ValueError(
            f"Expected {expected} with refit_on_test={parameters.refit_on_test}. "
            f"Received: {'none' if verification is None else 'one'}"
        )
    if verification is not None and verification.get("trained_until") != training.get("trained_until"):
        raise ValueError(
            f"Expected the verification of the model that was trained until {training.get('trained_until')} ms. "
            f"Received: one of a model that was trained until {verification.get('trained_until')} ms"
        )


def _read_json(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    if not isinstance(document, dict):
        raise ValueError(f"Expected a JSON object in {path}. Received: {type(document).__name__}")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"Expected finite numbers in the documents of the model. Received: {name}")
