"""Exports as one file: in onnxruntime and in LiteRT the numbers of the live model, and what it is."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tests import forked
from tfp_flows import data, detectors, serving
from tfp_flows.checks.errors import UserError
from tfp_flows.detectors import calibration, code_length, image_statistics
from tfp_flows.models import registry
from tfp_flows.runs import Run, load_model
from tfp_flows.serving import onnx_file, tflite_file
from tfp_flows.serving.exported_model import ExportedModelError, image_shape
from tfp_flows.serving.flattening import flatten

NATS = 1e-3
IMAGES = data.load("digits", "test").images[:37]
FAMILIES = ("glow", "vae", "pixelcnn")


def _in_onnxruntime(folder):
    onnxruntime = pytest.importorskip("onnxruntime", reason="no onnxruntime: no ONNX file was run")
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    shapes = {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
    assert shapes == {"images": ["N", 8, 8, 1], **dict.fromkeys(names, ["N"])}
    about = session.get_modelmeta().custom_metadata_map
    return lambda images: dict(zip(names, session.run(names, {"images": images}), strict=True)), about


def _in_litert(folder):
    pytest.importorskip("ai_edge_litert", reason="no LiteRT: no TensorFlow Lite file was run")
    from ai_edge_litert import interpreter, schema_py_generated

    path = folder / "model.tflite"
    runner = interpreter.Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    model = schema_py_generated.ModelT.InitFromObj(schema_py_generated.Model.GetRootAs(path.read_bytes()))
    (entry,) = [entry for entry in model.metadata if entry.name == b"tfp_flows"]
    about = bytes(model.buffers[entry.buffer].data)
    assert model.description == about
    return lambda images: runner(images=images), json.loads(about)


READERS = {"onnx": _in_onnxruntime, "tflite": _in_litert}
NEEDED = {"onnx": ("onnx", "onnxruntime", "tf2onnx"), "tflite": ("ai_edge_litert",)}


@pytest.fixture
def need():
    """Function of a format that skips the test where its extra is not installed."""

    def check(export_format):
        for package in NEEDED[export_format]:
            pytest.importorskip(package, reason=f"no {package}: nothing was exported as {export_format}")

    return check


@pytest.mark.parametrize("export_format", READERS)
@pytest.mark.parametrize("name", FAMILIES)
def test_the_numbers_are_those_of_the_live_model(runs, tmp_path, need, name, export_format):
    need(export_format)
    run, out = Run(runs / name), tmp_path / "out"
    described = serving.export(run, out, runs / f"{name}_detector", export_format=export_format)
    assert set(described["methods"]) == {"serving_default"}
    assert {path.name for path in out.iterdir()} == {
        f"model.{export_format}",
        "signature.json",
        "model_card.md",
    }
    model, _ = load_model(run)
    detector = detectors.load(runs / f"{name}_detector")
    live = serving.Servable(model, registry.family(name), detector).methods["serving_default"]
    expected = {key: value.numpy() for key, value in live(tf.constant(IMAGES)).items()}
    function, about = READERS[export_format](out)
    for count in (37, 1, 4):  # any number of images
        found = function(IMAGES[:count])
        assert set(found) == set(expected)
        for key in ("log_prob", "bits_per_dim", "score"):
            assert found[key].dtype == np.float32 and found[key].shape == (count,)
            np.testing.assert_allclose(found[key], expected[key][:count], rtol=0, atol=NATS)
        # Exactly the p-value of a score that is as near.
        low, high = (
            calibration.p_value(tf.constant(expected["score"][:count] + shift), detector.calibration_scores)
            for shift in (NATS, -NATS)
        )
        assert np.all(low <= found["p_value"]) and np.all(found["p_value"] <= high)
        steps = np.arange(1, 72, dtype=np.float64) / 71
        assert np.isin(found["p_value"], steps.astype(np.float32)).all()
    assert about["input images"] == "uint8 [N, 8, 8, 1], grey levels 0..255"
    assert about["output log_prob"] == "float32 [N], nats of a whole image" and about["alpha"] == "0.05"
    assert json.loads(about["detector"])["name"] == "typicality" and about["family"] == name
    with pytest.raises(ExportedModelError, match=rf"run model.{export_format} there, or export"):
        image_shape(out)


def _of_content(content, export_format):
    """Function of one array that the bytes of a file hold."""
    if export_format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        return lambda x: session.run(["y"], {"images": x})[0]
    from ai_edge_litert import interpreter

    runner = interpreter.Interpreter(model_content=content).get_signature_runner()
    return lambda x: runner(images=x)["y"]


def _as_y(function):
    return lambda images: {"y": function(images)}


@pytest.mark.parametrize("export_format", READERS)
def test_what_the_default_detector_computes(need, export_format):
    """The codes' length, the statistics of images, and the score of statistics, float64 in TensorFlow."""
    need(export_format)
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
    detector = detectors.Default(tfp_flows.Dequantized(tfp_flows.glow(config, (8, 8, 1))), png=False)
    detector.fit(data.load("digits", "validation").images)
    statistics = detector.statistics(IMAGES)
    convert = {"onnx": onnx_file.convert, "tflite": tflite_file.convert}[export_format]

    def seen(x):
        parts = [code_length.adaptive_bits(x)[:, tf.newaxis], image_statistics.details(x)]
        return tf.concat([*parts, image_statistics.layout(x)], axis=-1)

    def score(x):
        return detector.formula.in_graph(tf.cast(x, tf.float64))

    for function, x in ((seen, IMAGES), (score, statistics.astype(np.float32))):
        spec = tf.TensorSpec([None, *x.shape[1:]], x.dtype, "images")
        named = tf.function(_as_y(function), input_signature=[spec], autograph=False)
        flat = flatten(named.get_concrete_function(), narrow=export_format == "tflite")
        found = _of_content(convert(flat, {}), export_format)(x)
        np.testing.assert_allclose(found, named(tf.constant(x))["y"], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("export_format", READERS)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    runs, tmp_path, monkeypatch, export_format
):
    monkeypatch.setitem(sys.modules, NEEDED[export_format][0], None)
    with pytest.raises(UserError, match=rf'pip install "tfp-flows\[{export_format}\]"') as error:
        serving.export(Run(runs / "glow"), tmp_path / "out", export_format=export_format)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("export_format", READERS)
def test_what_the_format_lacks_is_named(runs, tmp_path, need, export_format):
    need(export_format)
    run = Run(runs / "glow")
    detector = detectors.InputComplexity(load_model(run)[0]).fit(IMAGES)
    detector.save(tmp_path / "png")
    with pytest.raises(detectors.DetectorError, match="input_complexity: .*`format=savedmodel`") as error:
        serving.export(run, tmp_path / "out", tmp_path / "png", export_format=export_format)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_the_export_command(runs, tmp_path):
    given = (f"--run={runs / 'glow'}", f"--out={tmp_path / 'out'}", "--format=onnx")
    for flag in ("--batch_sizes=4", "--jit_compile"):
        result = forked.command("tfp_flows.export", *given, flag)
        assert result.returncode == 1 and "has no meaning with --format=onnx" in result.stderr
    assert not (tmp_path / "out").exists()
