"""The examples of docs/serving.md are run, and its tables are what the code says."""

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import pytest
import tensorflow as tf
from running_server import save_index, serve

from components.serve.parameters import ServeParameters

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
ITEM_IDS = [f"i{number}" for number in range(30)]
DEFAULTS = {each.name: each.default for each in fields(ServeParameters)}


def find_examples(language, text):
    """The code blocks of a language that hold a text."""
    return [code for code in re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL) if text in code]


@pytest.fixture(scope="module")
def index_dir(tmp_path_factory):
    return save_index(ITEM_IDS, tmp_path_factory.mktemp("docs") / "index")


@pytest.fixture(scope="module")
def server(index_dir):
    with serve(index_dir) as running:
        running.wait_for(lambda: running.get("/v2/health/ready").ok)
        yield running


@pytest.mark.parametrize("code", find_examples("bash", "curl -sf"))
def test_curl(server, code):
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    code = code.replace("localhost:8501", f"127.0.0.1:{server.port}")
    done = subprocess.run(["/bin/bash", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"item_ids"' in done.stdout
    assert '"i' in done.stdout


def test_python_requests(server, capsys):
    (code,) = find_examples("python", "import requests")
    exec(code.replace("http://localhost:8501", server.url), {})  # noqa: S102
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert {line.split()[0] for line in lines} < set(ITEM_IDS) - {"i7", "i8", "i12"}


def test_the_grpc_stub(index_dir):
    """Against TensorFlow Serving's service, answered from the SavedModel by the names of the request."""
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    signatures = tf.saved_model.load(str(index_dir)).signatures

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802 (a name of the service)
            inputs = {name: tf.constant(tf.make_ndarray(each)) for name, each in request.inputs.items()}
            outputs = signatures[request.model_spec.signature_name](**inputs)
            answer = predict_pb2.PredictResponse()
            for name, each in outputs.items():
                answer.outputs[name].CopyFrom(tf.make_tensor_proto(each))
            return answer

    server = grpc.server(ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        (code,) = find_examples("python", "prediction_service_pb2_grpc")
        names = {}
        exec(code.replace("localhost:8500", f"127.0.0.1:{port}"), names)  # noqa: S102
    finally:
        server.stop(None).wait()
    assert names["item_ids"].shape == names["scores"].shape == (2, 5)
    assert b"i7" not in names["item_ids"][0]


def test_the_bounds_of_the_page_are_the_defaults():
    rows = re.findall(r"^\| (`--[^|]+) \| ([^|]+) \|", PAGE, flags=re.MULTILINE)
    documented = {}
    for options, values in rows:
        numbers = re.findall(r"(\d[\d,]*)( MiB)?", values)
        for option, (number, unit) in zip(re.findall(r"`--([\w-]+)`", options), numbers, strict=False):
            documented[option.replace("-", "_")] = int(number.replace(",", "")) * (2**20 if unit else 1)
    assert documented == {name: DEFAULTS[name] for name in documented}
    assert documented.keys() >= {name for name in DEFAULTS if name.startswith("max_")}


def test_every_option_that_the_page_names_is_there():
    page = re.sub(r"`python tests/benchmarks/[^`]*`", "", PAGE)  # tests/test_benchmarks.py checks those
    named = {each.replace("-", "_") for each in re.findall(r"(?<![\w-])--([a-z][\w-]+)", page)}
    foreign = {"model_base_path", "read_only", "tmpfs", "cap_drop"}
    assert named - foreign <= DEFAULTS.keys()
