"""Requests that TensorFlow Serving runs when it loads a version, so that the first user does not wait.

The server reads them from `assets.extra/tf_serving_warmup_requests`, a TFRecord of PredictionLog messages, and does not
load a version that fails on one (https://www.tensorflow.org/tfx/serving/saved_model_warmup). The package with these
messages is only needed for their few field numbers, which are written here instead. They stand in
tensorflow_serving/apis: prediction_log.proto, predict.proto and model.proto.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from components.core.literal_paths import literal_path
from components.core.saved_model import load_index

WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"
SIGNATURES = ("serving_default", "recommend")
K = 20
SHAPES = ((1, 1), (1, 8), (16, 20))  # sessions and items of the requests to each signature, unless it fixes them

_LENGTH_DELIMITED = 2  # wire type, https://protobuf.dev/programming-guides/encoding
_PREDICTION_LOG_PREDICT_LOG = 6
_PREDICT_LOG_REQUEST = 1
_PREDICT_REQUEST_MODEL_SPEC = 1
_PREDICT_REQUEST_INPUTS = 2
_MODEL_SPEC_SIGNATURE_NAME = 3
_MAP_KEY = 1
_MAP_VALUE = 2


def write_warm_up(index_dir: Path, item_ids: Sequence[str], path: Path) -> None:
    """Writes warm-up requests for an index, after it has answered each of them.

    Args:
        index_dir: the SavedModel.
        item_ids: ids of items to put into the sessions, such as the most popular ones.
        path: file to write.

    Raises:
        ValueError: a signature is missing, or one of its inputs has an unknown meaning.
        RuntimeError: the index does not answer a request.
    """
    requests = []
    signatures = load_index(index_dir, signatures=SIGNATURES).signatures
    for name in SIGNATURES:
        specs: dict[str, tf.TensorSpec] = signatures[name].structured_input_signature[1]
        for shape in SHAPES:
            inputs = make_inputs(specs, item_ids, *shape)
            requests.append((name, inputs))
            try:
                signatures[name](**inputs)
            except tf.errors.OpError as error:
                shapes = {key: tensor.shape.as_list() for key, tensor in inputs.items()}
                raise RuntimeError(
                    f"The signature {name} of the index {index_dir} does not answer a request of {shapes}: {error}"
                ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with literal_path(path.parent) as folder, tf.io.TFRecordWriter(f"{folder}/{path.name}") as writer:
        for name, inputs in requests:
            writer.write(encode_prediction_log(name, inputs))


def make_inputs(
    specs: Mapping[str, tf.TensorSpec], item_ids: Sequence[str], num_sessions: int, length: int
) -> dict[str, tf.Tensor]:
    """Makes the inputs of a request from those of a signature.

    Args:
        specs: inputs of the signature: `item_ids` [batch_size, length] strings; optionally `k` [batch_size] integers
            and `exclude_ids` [batch_size, num_excluded] strings, which excludes nothing here.
        item_ids: ids that are repeated to fill the sessions.
        num_sessions: number of sessions, unless the signature fixes it.
        length: number of items in each session, unless the signature fixes it.

    Raises:
        ValueError: the signature has no `item_ids`, or another input, for which no value is known.
    """
    known = {"item_ids": (tf.string, 2), "k": (None, 1), "exclude_ids": (tf.string, 2)}
    for name, spec in specs.items():
        kind, rank = known.get(name, (None, None))
        if spec.shape.rank != rank or (kind is None and not spec.dtype.is_integer) or kind not in (None, spec.dtype):
            raise ValueError(
                "Expected the inputs item_ids and exclude_ids [batch_size, length] of strings and k [batch_size] of "
                f"integers. Received: {name} {spec.shape} {spec.dtype.name}"
            )
    if "item_ids" not in specs:
        raise ValueError(f"Expected the input item_ids in a signature of the index. Received: {', '.join(specs)}")
    rows, columns = (
        size or default for size, default in zip(specs["item_ids"].shape.as_list(), (num_sessions, length), strict=True)
    )
    sessions = [[item_ids[(row + column) % len(item_ids)] for column in range(columns)] for row in range(rows)]
    inputs = {"item_ids": tf.constant(sessions)}
    if "k" in specs:
        inputs["k"] = tf.fill([rows], tf.constant(K, specs["k"].dtype))
    if "exclude_ids" in specs:
        inputs["exclude_ids"] = tf.fill([rows, specs["exclude_ids"].shape.as_list()[1] or 1], "")
    return inputs


def encode_prediction_log(signature: str, inputs: Mapping[str, tf.Tensor]) -> bytes:
    """Encodes a request to a signature as a PredictionLog."""
    request = _field(_PREDICT_REQUEST_MODEL_SPEC, _field(_MODEL_SPEC_SIGNATURE_NAME, signature.encode()))
    for name, tensor in sorted(inputs.items()):
        value = tf.make_tensor_proto(tensor).SerializeToString()
        request += _field(_PREDICT_REQUEST_INPUTS, _field(_MAP_KEY, name.encode()) + _field(_MAP_VALUE, value))
    return _field(_PREDICTION_LOG_PREDICT_LOG, _field(_PREDICT_LOG_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
