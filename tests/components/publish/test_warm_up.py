import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

from components.publish.warm_up import SIGNATURES, make_inputs, write_warm_up

STRINGS = tf.TensorSpec([None, None], tf.string)
FIELD = descriptor_pb2.FieldDescriptorProto


def add_message(file, name, *fields):
    """Adds a message with fields that are each a name, a number and the type of a message or None for a string."""
    message = file.message_type.add(name=name)
    for field, number, kind in fields:
        added = message.field.add(name=field, number=number, label=FIELD.LABEL_OPTIONAL)
        added.type = FIELD.TYPE_MESSAGE if kind else FIELD.TYPE_STRING
        if kind:
            added.type_name = kind
    return message


@pytest.fixture(scope="module")
def prediction_log():
    """The class of a PredictionLog, from what tensorflow_serving/apis says of the messages that we write."""
    file = descriptor_pb2.FileDescriptorProto(
        name="prediction_log_of_test.proto",
        package="serving_of_test",
        syntax="proto3",
        dependency=[tensor_pb2.DESCRIPTOR.name],
    )
    here = ".serving_of_test"
    add_message(file, "PredictionLog", ("predict_log", 6, f"{here}.PredictLog"))
    add_message(file, "PredictLog", ("request", 1, f"{here}.PredictRequest"))
    add_message(file, "ModelSpec", ("name", 1, None), ("signature_name", 3, None))
    request = add_message(file, "PredictRequest", ("model_spec", 1, f"{here}.ModelSpec"))
    inputs = request.field.add(name="inputs", number=2, label=FIELD.LABEL_REPEATED, type=FIELD.TYPE_MESSAGE)
    inputs.type_name = f"{here}.PredictRequest.InputsEntry"
    entry = request.nested_type.add(name="InputsEntry", options={"map_entry": True})
    entry.field.add(name="key", number=1, label=FIELD.LABEL_OPTIONAL, type=FIELD.TYPE_STRING)
    value = entry.field.add(name="value", number=2, label=FIELD.LABEL_OPTIONAL, type=FIELD.TYPE_MESSAGE)
    value.type_name = ".tensorflow.TensorProto"
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("serving_of_test.PredictionLog"))


def test_every_request_is_one_that_the_index_answers(artifacts, prediction_log, tmp_path):
    path = tmp_path / "lr=[1]" / "requests"
    write_warm_up(artifacts["index_dir"], ["a", "商品", "b"], path)
    signatures = tf.saved_model.load(str(artifacts["index_dir"])).signatures
    records = [each.numpy() for each in tf.data.TFRecordDataset(str(path))]
    shapes = []
    for record in records:
        log = prediction_log.FromString(record)
        assert log.SerializeToString(deterministic=True) == record  # nothing that the messages do not know
        request = log.predict_log.request
        assert request.model_spec.name == ""
        name = request.model_spec.signature_name
        inputs = {name: tf.constant(tf.make_ndarray(proto)) for name, proto in request.inputs.items()}
        inputs = {name: tf.cast(each, tf.string) if each.dtype != tf.int32 else each for name, each in inputs.items()}
        assert inputs.keys() == {"item_ids"} | ({"k", "exclude_ids"} if name == "recommend" else set())
        assert set(inputs["item_ids"].numpy().ravel()) <= {b"a", "商品".encode(), b"b"}
        assert len(signatures[name](**inputs)["item_ids"]) == inputs["item_ids"].shape[0]
        shapes.append((name, tuple(inputs["item_ids"].shape)))
    expected = [(1, 1), (1, 8), (16, 20)]
    assert shapes == [(name, shape) for name in ("serving_default", "recommend") for shape in expected]


@pytest.mark.parametrize(
    ("specs", "shapes"),
    [
        ({"item_ids": STRINGS}, {"item_ids": [2, 3]}),
        ({"item_ids": tf.TensorSpec([None, 5], tf.string)}, {"item_ids": [2, 5]}),
        (
            {"item_ids": tf.TensorSpec([1, 5], tf.string), "exclude_ids": STRINGS},
            {"item_ids": [1, 5], "exclude_ids": [1, 1]},
        ),
        ({"item_ids": STRINGS, "k": tf.TensorSpec([None], tf.int64)}, {"item_ids": [2, 3], "k": [2]}),
    ],
)
def test_a_request_has_the_inputs_and_the_shapes_of_the_signature(specs, shapes):
    inputs = make_inputs(specs, ["a", "b"], 2, 3)
    assert {name: tensor.shape.as_list() for name, tensor in inputs.items()} == shapes
    assert all(specs[name].is_compatible_with(tensor) for name, tensor in inputs.items())


@pytest.mark.parametrize(
    ("specs", "received"),
    [
        ({"k": tf.TensorSpec([None], tf.int32)}, "Received: k"),
        ({"item_ids": STRINGS, "user_id": tf.TensorSpec([None], tf.string)}, "Received: user_id"),
        ({"item_ids": tf.TensorSpec([None, None], tf.int64)}, r"Received: item_ids \(None, None\) int64"),
        ({"item_ids": STRINGS, "k": tf.TensorSpec([None], tf.float32)}, r"Received: k \(None,\) float32"),
        ({"item_ids": STRINGS, "k": tf.TensorSpec([], tf.int32)}, r"Received: k \(\) int32"),
        ({"item_ids": tf.TensorSpec([None], tf.string)}, "Received: item_ids"),
    ],
)
def test_an_input_of_unknown_meaning_is_refused(specs, received):
    with pytest.raises(ValueError, match=received):
        make_inputs(specs, ["a"], 1, 1)


def test_an_index_that_does_not_answer_is_refused(tmp_path):
    class Broken(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, "item_ids")])
        def recommend(self, item_ids):
            with tf.control_dependencies([tf.debugging.Assert(tf.shape(item_ids)[1] < 5, ["too long"])]):
                return {"item_ids": tf.identity(item_ids)}

    broken = Broken()
    tf.saved_model.save(broken, str(tmp_path / "index"), signatures=dict.fromkeys(SIGNATURES, broken.recommend))
    with pytest.raises(RuntimeError, match=r"does not answer a request of \{'item_ids': \[1, 8\]\}.*"):
        write_warm_up(tmp_path / "index", ["a"], tmp_path / "requests")
    tf.saved_model.save(broken, str(tmp_path / "other"), signatures={"other": broken.recommend})
    with pytest.raises(ValueError, match=r"signatures serving_default, recommend. Received: .* the signatures other"):
        write_warm_up(tmp_path / "other", ["a"], tmp_path / "requests")
