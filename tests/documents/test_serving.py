"""TensorFlow Serving: what it would read and answer, by its own protobufs; the server is not to be had."""

import concurrent.futures
import json
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("tensorflow_serving", reason="no tensorflow-serving-api: no request was made")
import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfp_flows import data, detectors, runs, serving
from tfp_flows.checks import graphs

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "serving.md"
IMAGES = data.load("digits", "test").images[:5]
METHOD = "tensorflow/serving/predict"  # what the server wants of a signature
UINT8, FLOAT = tf.uint8.as_datatype_enum, tf.float32.as_datatype_enum


class Server(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict as the server does it: the highest version of a model, a signature, named tensors."""

    def __init__(self, base):
        version = max((path for path in base.iterdir() if path.name.isdecimal()), key=lambda p: int(p.name))
        self._version = int(version.name)
        self._loaded = tf.saved_model.load(str(version))

    def Predict(self, request, context):
        name = request.model_spec.signature_name or "serving_default"
        function = self._loaded.signatures[name]
        given = {key: tf.constant(tf.make_ndarray(proto)) for key, proto in request.inputs.items()}
        answer = predict_pb2.PredictResponse()
        answer.model_spec.name, answer.model_spec.signature_name = request.model_spec.name, name
        answer.model_spec.version.value = self._version
        for key, value in function(**given).items():
            answer.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return answer


@pytest.fixture(scope="module")
def base(runs_of_glow):
    return runs_of_glow / "models" / "mine"


@pytest.fixture(scope="module")
def runs_of_glow(make_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    make_run(folder, "glow")
    for version in (1, 2):
        out = folder / "models" / "mine" / str(version)
        serving.export(runs.Run(folder / "glow"), out, folder / "glow_detector")
    return folder


@pytest.fixture(scope="module")
def port(base):
    """Of a server on this machine."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Server(base), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None)


def test_the_folder_holds_versions_and_nothing_else(base):
    assert {path.name for path in base.iterdir()} == {"1", "2"}
    assert all((base / version / "saved_model.pb").is_file() for version in "12")


def test_the_signatures_are_such_as_the_server_takes(base):
    graph = graphs.read_graph(base / "1")
    assert "serve" in graph.meta_info_def.tags
    described = json.loads((base / "1" / "signature.json").read_text())["methods"]
    answer = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in graph.signature_def.items():
        answer.signature_def[name].CopyFrom(signature)
        if name in described:
            assert signature.method_name == METHOD
            assert set(signature.inputs) == set(described[name]["inputs"])
            assert set(signature.outputs) == set(described[name]["outputs"])
    assert set(described) <= set(answer.signature_def)
    signature = answer.signature_def["serving_default"]
    image = signature.inputs["images"]
    assert image.dtype == UINT8 and [d.size for d in image.tensor_shape.dim] == [-1, 8, 8, 1]
    for output in signature.outputs.values():  # free in the first dimension, as batching wants it
        assert output.dtype == FLOAT and [d.size for d in output.tensor_shape.dim] == [-1]


def test_the_caller_of_the_page_gets_the_detectors_numbers(runs_of_glow, port):
    (code,) = re.findall(r"^## gRPC\n\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert "localhost:8500" in code
    values = {"images": IMAGES}
    exec(code.replace("localhost:8500", f"127.0.0.1:{port}"), values)
    detector = detectors.load(runs_of_glow / "glow_detector")
    answer = values["answer"]
    assert answer.model_spec.version.value == 2 and set(answer.outputs) == {
        *("log_prob", "bits_per_dim", "score", "p_value")
    }
    np.testing.assert_allclose(tf.make_ndarray(answer.outputs["score"]), detector.score(IMAGES), atol=1e-3)
    np.testing.assert_array_equal(values["p_values"], detector.p_value(IMAGES))


def test_another_signature_by_its_name(runs_of_glow, port):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "mine", "log_prob_seeded"
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(IMAGES))
    request.inputs["seed"].CopyFrom(tf.make_tensor_proto(np.int64(7)))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60.0)
    model, _ = runs.load_model(runs.Run(runs_of_glow / "glow"))
    expected = model.log_prob(IMAGES, seed=tf.constant(7, tf.int64))
    np.testing.assert_allclose(tf.make_ndarray(answer.outputs["log_prob"]), expected, atol=1e-3)


def test_json_of_images_is_their_tensor(base):
    """A row of `instances` for each image; numbers in nested lists take the type of the input."""
    body = json.loads(json.dumps({"instances": IMAGES.tolist()}))
    batch = np.asarray(body["instances"], np.uint8)
    np.testing.assert_array_equal(batch, IMAGES)
    found = tf.saved_model.load(str(base / "1")).signatures["serving_default"](images=tf.constant(batch))
    rows = [dict(zip(found, map(float, row), strict=True)) for row in zip(*found.values(), strict=True)]
    assert len(json.loads(json.dumps({"predictions": rows}, allow_nan=False))["predictions"]) == 5
    (page,) = re.findall(r"curl -d '(.*?)'", PAGE.read_text())
    assert np.asarray(json.loads(page)["instances"], np.uint8).shape == (1, 2, 2, 1)
