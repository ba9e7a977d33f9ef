"""The Open Inference Protocol, version 2 of KServe's (https://github.com/kserve/open-inference-protocol)."""

from typing import Any

from components.serve.loaded_index import Ranked
from components.serve.parameters import ServeParameters
from components.serve.queries import Query, RequestError, make_query, show
from components.serve.tensorflow_serving import parse_json

DATATYPES = {"item_ids": ("BYTES",), "exclude_ids": ("BYTES",), "k": ("INT32", "INT64")}
RANKS = {"item_ids": 2, "exclude_ids": 2, "k": 1}


def parse_infer(body: bytes, bounds: ServeParameters) -> tuple[Query, str]:
    """Parses the body of an inference request: `item_ids`, and optionally `k` and `exclude_ids`.

    Returns:
        The query and the id of the request, which may be empty.

    Raises:
        RequestError: the body is malformed or out of bounds.
    """
    document = parse_json(body)
    request_id = document.get("id", "")
    inputs = document.get("inputs")
    if not isinstance(request_id, str):
        raise RequestError(f"Expected id to be a text. Received: {show(request_id)}")
    if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
        raise RequestError(f"Expected inputs to be a list of tensors. Received: {show(inputs)}")
    values = {}
    for tensor in inputs:
        name = tensor.get("name")
        if not isinstance(name, str) or name not in DATATYPES or name in values:
            raise RequestError(f"Expected the inputs {', '.join(DATATYPES)}, each once. Received: {show(name)}")
        values[name] = _read_tensor(name, tensor, bounds)
    signature = "recommend" if values.keys() - {"item_ids"} else "serving_default"
    return make_query(signature, values, bounds), request_id


def _read_tensor(name: str, tensor: dict[str, Any], bounds: ServeParameters) -> list[Any]:
    """Returns the rows of a tensor, whose data may be flat or nested."""
    datatype, shape, data = (tensor.get(key) for key in ("datatype", "shape", "data"))
    if datatype not in DATATYPES[name]:
        raise RequestError(f"Expected {name} of the datatype {DATATYPES[name][0]}. Received: {show(datatype)}")
    if (
        not isinstance(shape, list)
        or len(shape) != RANKS[name]
        or not all(type(size) is int and size >= 0 for size in shape)
    ):
        raise RequestError(f"Expected the shape of {name} to be {RANKS[name]} sizes. Received: {show(shape)}")
    if shape[0] > bounds.max_rows:
        raise RequestError(f"Expected at most {bounds.max_rows} sessions in a request. Received: {shape[0]}")
    if not isinstance(data, list):
        raise RequestError(f"Expected the data of {name} to be a JSON list. Received: {show(data)}")
    if len(shape) == 1:
        rows = data
    elif data and all(isinstance(row, list) for row in data):
        rows = data
        if any(len(row) != shape[1] for row in rows):
            raise RequestError(f"Expected {shape[1]} values in each row of {name}. Received: another number")
    else:
        num_values = shape[0] * shape[1]
        if len(data) != num_values:
            raise RequestError(f"Expected {num_values} values of {name}, as its shape says. Received: {len(data)}")
        rows = [data[row * shape[1] : (row + 1) * shape[1]] for row in range(shape[0])]
    if len(rows) != shape[0]:
        raise RequestError(f"Expected {shape[0]} rows of {name}, as its shape says. Received: {len(rows)}")
    return rows


def render_infer(answer: Ranked, *, model_name: str, version: int, request_id: str) -> dict[str, Any]:
    """Returns the body of an answer."""
    shape = [len(answer.item_ids), len(answer.item_ids[0])]
    outputs = (("item_ids", "BYTES", answer.item_ids), ("scores", "FP32", answer.scores))
    return {
        "model_name": model_name,
        "model_version": str(version),
        **({"id": request_id} if request_id else {}),
        "outputs": [
            {"name": name, "datatype": kind, "shape": shape, "data": [value for row in rows for value in row]}
            for name, kind, rows in outputs
        ],
    }


def render_metadata(model_name: str, versions: list[int]) -> dict[str, Any]:
    """Returns the description of the model."""
    inputs = [{"name": name, "datatype": kinds[0], "shape": [-1] * RANKS[name]} for name, kinds in DATATYPES.items()]
    return {
        "name": model_name,
        "versions": [str(version) for version in versions],
        "platform": "tensorflow_savedmodel",
        "inputs": inputs,
        "outputs": [
            {"name": "item_ids", "datatype": "BYTES", "shape": [-1, -1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, -1]},
        ],
    }
