import numpy as np
import pytest
import tensorflow as tf

INFER = "/v2/models/two_tower/infer"


def tensor(name, datatype, shape, data):
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def test_health_and_metadata(server):
    assert server.get("/v2/health/live").json() == {"live": True}
    for path in ("/v2/health/ready", "/v2/models/two_tower/ready", "/v2/models/two_tower/versions/1/ready"):
        assert server.get(path).json() == {"ready": True}
    assert server.get("/v2").json()["name"] == "two-tower"
    found = server.get("/v2/models/two_tower").json()
    assert (found["name"], found["versions"], found["platform"]) == ("two_tower", ["1"], "tensorflow_savedmodel")
    assert {each["name"]: (each["datatype"], each["shape"]) for each in found["inputs"]} == {
        "item_ids": ("BYTES", [-1, -1]),
        "exclude_ids": ("BYTES", [-1, -1]),
        "k": ("INT32", [-1]),
    }
    for path in ("/v2/models/other", "/v2/models/other/ready", "/v2/models/two_tower/versions/2"):
        assert server.get(path).status_code == 404


@pytest.mark.parametrize("sessions", [["i1", "i2", "i3", ""], [["i1", "i2"], ["i3", ""]]], ids=["flat", "nested"])
def test_inference(server, index_dir, sessions):
    document = {
        "id": "first",
        "inputs": [
            tensor("item_ids", "BYTES", [2, 2], sessions),
            tensor("k", "INT32", [2], [3, 2]),
            tensor("exclude_ids", "BYTES", [2, 1], ["i1", "i9"]),
        ],
    }
    found = server.post(INFER, document).json()
    assert (found["model_name"], found["model_version"], found["id"]) == ("two_tower", "1", "first")
    signature = tf.saved_model.load(str(index_dir)).signatures["recommend"]
    expected = signature(
        item_ids=tf.constant([["i1", "i2"], ["i3", ""]]),
        k=tf.constant([3, 2]),
        exclude_ids=tf.constant([["i1"], ["i9"]]),
    )
    ids, scores = found["outputs"]
    assert (ids["name"], ids["datatype"], ids["shape"]) == ("item_ids", "BYTES", [2, 3])
    assert (scores["name"], scores["datatype"], scores["shape"]) == ("scores", "FP32", [2, 3])
    assert [each.encode() for each in ids["data"]] == expected["item_ids"].numpy().ravel().tolist()
    np.testing.assert_allclose(scores["data"], expected["scores"].numpy().ravel(), rtol=1e-5)


def test_sessions_alone(server):
    found = server.post(INFER, {"inputs": [tensor("item_ids", "BYTES", [1, 1], ["i1"])]}).json()
    assert found["outputs"][0]["shape"] == [1, 5]
    assert "id" not in found
    empty = server.post(INFER, {"inputs": [tensor("item_ids", "BYTES", [1, 0], [])]}).json()
    assert empty["outputs"][0]["data"] == ["i0", "i1", "i2", "i3", "i4"]


IDS = tensor("item_ids", "BYTES", [1, 1], ["i1"])
MALFORMED = [
    ({}, "Expected inputs to be a list of tensors. Received: None"),
    ({"inputs": [7]}, "Expected inputs to be a list of tensors"),
    ({"inputs": []}, "Expected item_ids to be a list of item ids for each session. Received: None"),
    ({"inputs": [IDS], "id": 7}, "Expected id to be a text. Received: 7"),
    ({"inputs": [IDS, IDS]}, "Expected the inputs item_ids, exclude_ids, k, each once. Received: 'item_ids'"),
    ({"inputs": [tensor("user", "BYTES", [1, 1], ["u"])]}, "each once. Received: 'user'"),
    ({"inputs": [{**IDS, "name": ["item_ids"]}]}, "each once. Received: ['item_ids']"),
    (
        {"inputs": [tensor("item_ids", "FP32", [1, 1], [1])]},
        "Expected item_ids of the datatype BYTES. Received: 'FP32'",
    ),
    ({"inputs": [tensor("item_ids", "BYTES", [1], ["i1"])]}, "Expected the shape of item_ids to be 2 sizes"),
    ({"inputs": [tensor("item_ids", "BYTES", [1, -1], ["i1"])]}, "Expected the shape of item_ids to be 2 sizes"),
    ({"inputs": [tensor("item_ids", "BYTES", [1, 2], ["i1"])]}, "Expected 2 values of item_ids, as its shape says"),
    ({"inputs": [tensor("item_ids", "BYTES", [2, 1], [["i1"]])]}, "Expected 2 rows of item_ids, as its shape says"),
    ({"inputs": [tensor("item_ids", "BYTES", [1, 2], [["i1"]])]}, "Expected 2 values in each row of item_ids"),
    ({"inputs": [tensor("item_ids", "BYTES", [10**12, 0], [])]}, "Expected at most 8 sessions in a request"),
    ({"inputs": [tensor("item_ids", "BYTES", [0, 0], [])]}, "Expected from 1 to 8 sessions in a request. Received: 0"),
    ({"inputs": [tensor("item_ids", "BYTES", [1, 1], "i1")]}, "Expected the data of item_ids to be a JSON list"),
    ({"inputs": [tensor("item_ids", "BYTES", [1, 1], [7])]}, "Expected item_ids to be texts. Received: 7"),
    ({"inputs": [IDS, tensor("k", "INT32", [1], [31])]}, "Expected k to be an integer from 1 to 30. Received: 31"),
    ({"inputs": [IDS, tensor("k", "INT32", [1], [[5]])]}, "Expected k to be an integer from 1 to 30. Received: [5]"),
    ({"inputs": [IDS, tensor("exclude_ids", "BYTES", [2, 1], ["a", "b"])]}, "Expected exclude_ids for each of the 1"),
]


@pytest.mark.parametrize(("document", "message"), MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_requests_are_answered_with_what_was_expected(server, document, message):
    answer = server.post(INFER, document)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_binary_data_is_refused(server):
    answer = server.post(INFER, {"inputs": [IDS]}, headers={"inference-header-content-length": "10"})
    assert answer.status_code == 400
    assert answer.json()["error"] == "Expected JSON data. Received: the extension for binary data"
