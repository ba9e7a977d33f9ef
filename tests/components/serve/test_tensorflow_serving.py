"""The REST interface of TensorFlow Serving, over HTTP."""

import base64
import json

import pytest
import tensorflow as tf

PREDICT = "/v1/models/two_tower:predict"


@pytest.fixture(scope="module")
def signatures(index_dir):
    return tf.saved_model.load(str(index_dir)).signatures


def ask(signatures, name, **inputs):
    """What the SavedModel itself answers, as JSON would hold it."""
    answer = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
    ids = [[each.decode() for each in row] for row in answer["item_ids"].numpy()]
    return [
        {"item_ids": row, "scores": pytest.approx(scores, rel=1e-5)}
        for row, scores in zip(ids, answer["scores"].numpy().tolist(), strict=True)
    ]


def test_rows_of_the_default_signature(server, signatures):
    expected = ask(signatures, "serving_default", item_ids=[["i1", "i2", "i1"], ["i7", "", ""]])
    rows = [{"item_ids": ["i1", "i2", "i1"]}, {"item_ids": ["i7"]}]  # of any lengths
    assert server.predict({"instances": rows}) == {"predictions": expected}
    bare = [["i1", "i2", "i1"], ["i7", "", ""]]  # the name of a single input may be left out
    assert server.predict({"signature_name": "serving_default", "instances": bare}) == {"predictions": expected}
    assert len(expected[0]["item_ids"]) == 5


def test_columns_of_the_default_signature(server, signatures):
    (first,) = ask(signatures, "serving_default", item_ids=[["i5"]])
    expected = {"outputs": {"item_ids": [first["item_ids"]], "scores": [first["scores"]]}}
    assert server.predict({"inputs": {"item_ids": [["i5"]]}}) == expected
    assert server.predict({"inputs": [["i5"]]}) == expected


def test_k_and_exclusions_of_each_row(server, signatures):
    expected = ask(
        signatures, "recommend", item_ids=[["i1"], ["i2"]], k=[2, 4], exclude_ids=[["i1", "i9"], ["new", ""]]
    )
    rows = [
        {"item_ids": ["i1"], "k": 2, "exclude_ids": ["i1", "i9"]},
        {"item_ids": ["i2"], "k": 4, "exclude_ids": ["new"]},
    ]
    assert server.predict({"signature_name": "recommend", "instances": rows}) == {"predictions": expected}
    columns = {"item_ids": [["i1"], ["i2"]], "k": [2, 4], "exclude_ids": [["i1", "i9"], ["new"]]}
    found = server.predict({"signature_name": "recommend", "inputs": columns})["outputs"]
    assert found == {name: [row[name] for row in expected] for name in ("item_ids", "scores")}
    assert expected[0]["item_ids"][2:] == ["", ""]


@pytest.mark.parametrize("k", [3, [3]])
def test_one_k_for_all_rows_and_no_exclusions(server, signatures, k):
    expected = ask(signatures, "recommend", item_ids=[["i1"], ["i2"]], k=[3], exclude_ids=[[""], [""]])
    found = server.predict({"signature_name": "recommend", "inputs": {"item_ids": [["i1"], ["i2"]], "k": k}})
    assert found["outputs"]["item_ids"] == [row["item_ids"] for row in expected]


def test_sessions_without_a_known_item_get_the_most_popular_ones(server):
    for session in ([], [""], ["never seen"]):
        (row,) = server.predict({"instances": [{"item_ids": session}]})["predictions"]
        assert row["item_ids"] == ["i0", "i1", "i2", "i3", "i4"]
        assert row["scores"] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])


def test_ids_in_base64(server):
    encoded = {"b64": base64.b64encode(b"i5").decode()}
    assert server.predict({"instances": [[encoded]]}) == server.predict({"instances": [["i5"]]})


def test_a_single_output_has_no_name(server):
    document = {"signature_name": "known", "instances": [["i1", "new"], ["i2"]]}
    assert server.predict(document) == {"predictions": [[True, False], [True, False]]}
    columns = {"item_ids": [["i1", "i2"]], "other_ids": [["i1", "new"]]}
    found = server.predict({"signature_name": "similarity", "inputs": columns})["outputs"]
    assert found[0][0][0] == pytest.approx(1.0)
    assert found[0][1] == [0.0, 0.0]


def test_k_above_the_catalogue_is_the_catalogue(server):
    document = {"signature_name": "recommend", "instances": [{"item_ids": ["i1"], "k": 30, "exclude_ids": []}]}
    (row,) = server.predict(document)["predictions"]
    assert len(set(row["item_ids"])) == 30


def test_status_and_metadata(server):
    state = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("/v1/models/two_tower", "/v1/models/two_tower/versions/1"):
        assert server.get(path).json() == {"model_version_status": [state]}
    found = server.get("/v1/models/two_tower/metadata").json()
    assert found["model_spec"] == {"name": "two_tower", "signature_name": "", "version": "1"}
    inputs = found["metadata"]["signature_def"]["signature_def"]["recommend"]["inputs"]
    assert {name: each["dtype"] for name, each in inputs.items()} == {
        "item_ids": "DT_STRING", "k": "DT_INT32", "exclude_ids": "DT_STRING",
    }  # fmt: skip
    sizes = [each["size"] for each in inputs["item_ids"]["tensor_shape"]["dim"]]
    assert sizes == ["-1", "-1"]
    assert server.predict({"instances": [["i1"]]}, "/v1/models/two_tower/versions/1:predict")["predictions"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models/other", 404, "Servable not found for request: Latest(other). The model is two_tower."),
        ("POST", "/v1/models/other:predict", 404, "Servable not found for request: Latest(other)"),
        ("GET", "/v1/models/two_tower/versions/7", 404, "Servable not found for request: Specific(two_tower, 7)"),
        ("POST", "/v1/models/two_tower/versions/7:predict", 404, "The version that is served is 1."),
        ("GET", "/v1/models/two_tower/versions/x", 404, "Specific(two_tower, x)"),
        ("GET", "/v1/models/two_tower/versions/-1", 404, "Specific(two_tower, -1)"),
        ("GET", f"/v1/models/two_tower/versions/{10**30}", 404, "Servable not found"),
        ("GET", "/v1/somewhere", 404, "Malformed request: GET /v1/somewhere"),
        ("DELETE", "/v1/models/two_tower", 405, "Malformed request: DELETE /v1/models/two_tower"),
        ("POST", "/metrics", 405, "Malformed request: POST /metrics"),
    ],
)
def test_what_is_not_there(server, method, path, status, message):
    import requests

    answer = requests.request(method, server.url + path, json={"instances": [["i1"]]}, timeout=30)
    assert answer.status_code == status
    assert message in answer.json()["error"]


SESSIONS = {"item_ids": [["i1"], ["i2"]]}
MALFORMED = [
    ("", "Expected a JSON object. Received: 0 bytes"),
    ("{", "Expected a JSON object. Received: 1 bytes"),
    ("[" * 10_000, "Expected a JSON object"),
    (b"\xff\xfe{}", "Expected a JSON object"),
    ("9" * 9_000, "Expected a JSON object"),
    ("7", "Expected a JSON object. Received: 7"),
    ([], "Expected a JSON object. Received: []"),
    ({}, "Expected a list of instances, or inputs. Received: neither"),
    ({"instances": [["i1"]], "inputs": [["i1"]]}, "Expected a list of instances, or inputs. Received: both"),
    ({"instances": [["i1"]], "k": 5}, "Expected the entries signature_name, instances and inputs. Received: 'k'"),
    ({"instances": [["i1"]], "signature_name": "rank"}, "Expected signature_name to be one of serving_default"),
    ({"instances": [["i1"]], "signature_name": 7}, "Expected signature_name to be a text. Received: 7"),
    ({"instances": []}, "Expected instances to be a list with a row for each session. Received: []"),
    ({"instances": "i1"}, "Expected instances to be a list"),
    ({"instances": ["i1"]}, "Expected item_ids of a session to be a list of item ids. Received: 'i1'"),
    ({"instances": [[1]]}, "Expected item_ids to be texts. Received: 1"),
    ({"instances": [[None]]}, "Expected item_ids to be texts. Received: None"),
    ({"instances": [[["i1"]]]}, "Expected item_ids to be texts. Received: ['i1']"),
    ({"instances": [["\ud800"]]}, "Expected item_ids to be valid Unicode"),
    ({"instances": [[{"b64": "%"}]]}, "Expected item_ids to be UTF-8 in base64"),
    ({"instances": [[{"b64": "/w=="}]]}, "Expected item_ids to be UTF-8 in base64"),
    ({"instances": [{"items": ["i1"]}]}, "Expected the inputs item_ids of the signature serving_default. Received: 'i"),
    ({"instances": [{}]}, "Expected item_ids to be a list of item ids for each session. Received: None"),
    ({"instances": [{"item_ids": ["i1"]}, ["i2"]]}, "Expected the same inputs in all instances, item_ids"),
    ({"instances": [{"item_ids": ["i1"]}, {}]}, "Expected the same inputs in all instances, item_ids"),
    ({"instances": [["i1"]] * 9}, "Expected from 1 to 8 sessions in a request. Received: 9"),
    ({"inputs": {"item_ids": []}}, "Expected from 1 to 8 sessions in a request. Received: 0"),
    ({"instances": [["i1"] * 13]}, "Expected at most 12 item_ids in a session. Received: 13"),
    ({"inputs": 7}, "Expected item_ids to be a list of item ids for each session. Received: 7"),
    ({"inputs": {"item_ids": "i1"}}, "Expected item_ids to be a list of item ids for each session. Received: 'i1'"),
    ({"inputs": [["i1"]], "signature_name": "recommend"}, "Expected an object with the inputs item_ids, k, exclude_"),
    ({"inputs": {**SESSIONS, "k": 0}, "signature_name": "recommend"}, "Expected k to be an integer from 1 to 30"),
    ({"inputs": {**SESSIONS, "k": 31}, "signature_name": "recommend"}, "Expected k to be an integer from 1 to 30"),
    ({"inputs": {**SESSIONS, "k": 10**40}, "signature_name": "recommend"}, "Expected k to be an integer from 1 to 30"),
    ({"inputs": {**SESSIONS, "k": "5"}, "signature_name": "recommend"}, "from 1 to 30. Received: '5'"),
    ({"inputs": {**SESSIONS, "k": True}, "signature_name": "recommend"}, "from 1 to 30. Received: True"),
    ({"inputs": {**SESSIONS, "k": 1.5}, "signature_name": "recommend"}, "from 1 to 30. Received: 1.5"),
    ({"inputs": {**SESSIONS, "k": [1, 2, 3]}, "signature_name": "recommend"}, "Expected k for each of the 2 sessions"),
    ({"inputs": {**SESSIONS, "k": []}, "signature_name": "recommend"}, "Expected k for each of the 2 sessions"),
    (
        {"inputs": {**SESSIONS, "exclude_ids": [["i1"]]}, "signature_name": "recommend"},
        "Expected exclude_ids for each of the 2 sessions. Received: 1",
    ),
    (
        {"inputs": {**SESSIONS, "exclude_ids": ["i1", "i2"]}, "signature_name": "recommend"},
        "Expected exclude_ids of a session to be a list of item ids. Received: 'i1'",
    ),
    ({"inputs": SESSIONS, "signature_name": "similarity"}, "Expected other_ids to be a list of item ids"),
]


@pytest.mark.parametrize(("document", "message"), MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_requests_are_answered_with_what_was_expected(server, document, message):
    body = document if isinstance(document, (str, bytes)) else json.dumps(document)
    answer = server.post(PREDICT, data=body)
    assert answer.status_code == 400
    assert answer.json().keys() == {"error"}
    assert message in answer.json()["error"]


def test_bodies_that_are_too_large_or_compressed_are_refused(server):
    for body in (b" " * 20_001, b" " * 10_000_000, iter([b" " * 15_000] * 4)):
        answer = server.post(PREDICT, data=body)
        assert answer.status_code == 413
        assert "Expected a body of at most 20000 bytes. Received: " in answer.json()["error"]
    answer = server.post(PREDICT, data=b"x", headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["error"]) == (
        415,
        "Expected a body without compression. Received: 'gzip'",
    )
    assert server.predict({"instances": [["i1"]]})  # and the server goes on


def test_nothing_was_a_failure_of_the_server(server):
    """After all requests above."""
    statuses = {
        line.split('status="')[1].split('"')[0]
        for line in server.get("/metrics").text.splitlines()
        if line.startswith("two_tower_requests_total{")
    }
    assert "200" in statuses
    assert "500" not in statuses
