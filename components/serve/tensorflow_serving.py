"""The REST interface of TensorFlow Serving (https://www.tensorflow.org/tfx/serving/api_rest)."""

import json
from typing import Any

from components.serve.loaded_index import Ranked
from components.serve.parameters import ServeParameters
from components.serve.queries import Query, RequestError, get_inputs, make_query, show


def parse_json(body: bytes) -> dict[str, Any]:
    """Parses a body.

    Raises:
        RequestError: it is no JSON object.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = str(error)[:100] if isinstance(error, ValueError) else "one that is nested too deeply"
        raise RequestError(f"Expected a JSON object. Received: {len(body)} bytes, {reason!a}") from error
    if not isinstance(document, dict):
        raise RequestError(f"Expected a JSON object. Received: {show(document)}")
    return document


def parse_predict(body: bytes, bounds: ServeParameters) -> tuple[Query, bool]:
    """Parses the body of a predict request.

    Returns:
        The query, and whether it was given as rows (`instances`) and not as columns (`inputs`).

    Raises:
        RequestError: the body is malformed or out of bounds.
    """
    document = parse_json(body)
    unknown = [name for name in document if name not in ("signature_name", "instances", "inputs")]
    if unknown:
        raise RequestError(f"Expected the entries signature_name, instances and inputs. Received: {show(unknown[0])}")
    if ("instances" in document) == ("inputs" in document):
        found = "both" if "inputs" in document else "neither"
        raise RequestError(f"Expected a list of instances, or inputs. Received: {found}")
    signature = document.get("signature_name", "")
    if not isinstance(signature, str):
        raise RequestError(f"Expected signature_name to be a text. Received: {show(signature)}")
    names = get_inputs(signature)
    is_rows = "instances" in document
    values = _join_rows(document["instances"]) if is_rows else document["inputs"]
    if not isinstance(values, dict):
        if len(names) != 1:
            raise RequestError(f"Expected an object with the inputs {', '.join(names)}. Received: {show(values)}")
        values = {names[0]: values}
    return make_query(signature, values, bounds), is_rows


def _join_rows(instances: Any) -> Any:
    """Returns the values of all rows by the name of their input; the list itself where the rows have no names."""
    if not isinstance(instances, list) or not instances:
        raise RequestError(f"Expected instances to be a list with a row for each session. Received: {show(instances)}")
    if not isinstance(instances[0], dict):
        return instances
    for row in instances:
        if not isinstance(row, dict) or row.keys() != instances[0].keys():
            raise RequestError(
                f"Expected the same inputs in all instances, {', '.join(map(str, instances[0]))}. Received: {show(row)}"
            )
    return {name: [row[name] for row in instances] for name in instances[0]}


def render_ranked(ranked: Ranked, *, is_rows: bool) -> dict[str, Any]:
    """Returns the body of an answer with two outputs, in the format of its request."""
    if is_rows:
        pairs = zip(ranked.item_ids, ranked.scores, strict=True)
        return {"predictions": [{"item_ids": item_ids, "scores": scores} for item_ids, scores in pairs]}
    return {"outputs": {"item_ids": ranked.item_ids, "scores": ranked.scores}}


def render_output(outputs: dict[str, Any], *, is_rows: bool) -> dict[str, Any]:
    """Returns the body of an answer with one output, whose name is left out."""
    (output,) = outputs.values()
    return {"predictions" if is_rows else "outputs": output.tolist()}


def render_status(served: dict[int, str], failures: dict[int, str]) -> dict[str, Any]:
    """Returns the states of the versions.

    Args:
        served: states of the versions in memory, by number.
        failures: why other versions are not, by number.
    """
    states = [(version, state, "OK", "") for version, state in served.items()]
    states += [(version, "END", "DATA_LOSS", reason) for version, reason in failures.items()]
    return {
        "model_version_status": [
            {"version": str(version), "state": state, "status": {"error_code": code, "error_message": message}}
            for version, state, code, message in sorted(states, reverse=True)
        ]
    }


def render_metadata(model_name: str, version: int, signature_def: dict[str, Any]) -> dict[str, Any]:
    """Returns the description of a version's signatures."""
    return {
        "model_spec": {"name": model_name, "signature_name": "", "version": str(version)},
        "metadata": {"signature_def": {"signature_def": signature_def}},
    }
