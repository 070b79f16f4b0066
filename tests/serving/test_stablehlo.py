"""StableHLO exports: through JAX's PJRT client, without TensorFlow, the numbers of the live model."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from tests import forked
from tfp_flows import data, detectors, export, serving
from tfp_flows.models import registry
from tfp_flows.runs import Run, load_model
from tfp_flows.serving import stablehlo_check, standalone

pytest.importorskip("jax", reason="no JAX: no StableHLO program was run")

from tfp_flows.serving import run_stablehlo
from tfp_flows.serving.exported_model import ExportedModelError, image_shape

SIZES = (1, 4)
COUNTS = (1, 3, 4, 7)  # one of the sizes, padded, more than the largest
FAMILIES = ("glow", "vae", "pixelcnn")
CLOSE = dict(rtol=1e-5, atol=1e-3)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", "test").images[: max(COUNTS)]


@pytest.fixture(scope="module")
def exported(runs):
    """The StableHLO export of each run, with its detector."""
    for name in FAMILIES:
        run, out = Run(runs / name), runs / f"{name}_stablehlo"
        serving.export(run, out, runs / f"{name}_detector", export_format="stablehlo", batch_sizes=SIZES)
        assert serving.signature_file.check_out(out) == out, "another one may take its place"
    return runs


# Runs every function of an export while every import but JAX's and safetensors' fails.
JAX_ALONE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        names = ("tensorflow", "tfp_flows", "vae", "pixelcnn", "tensorflow_probability", "tf_keras",
                 "sklearn", "scipy.stats", "matplotlib", "jinja2", "PIL", "absl")
        if name in names:
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocked())
import json
import numpy as np
sys.path.insert(0, sys.argv[1])
from run_stablehlo import Model

model = Model(sys.argv[1])
images = np.load(sys.argv[2])
found = {}
for count in json.loads(sys.argv[4]):
    for function in set(model.functions) & {"serving_default", "encode", "log_prob_parts"}:
        result = model(function, images=images[:count])
        found.update({f"{function}_{k}_{count}": v for k, v in result.items()})
if "decode" in model.functions:
    latents = found.get("encode_latents_7", found.get("encode_mean_7"))
    found["decode"] = model("decode", latents=latents[:4])["images"]
    found["seeded_0"] = model("log_prob_seeded", images=images, seed=0)["log_prob"]
    found["seeded_7"] = model("log_prob_seeded", images=images, seed=7)["log_prob"]
found["sample_4"] = model("sample", n=4, seed=5)["images"]
found["sample_7"] = model("sample", n=7, seed=5)["images"]
np.savez(sys.argv[3], **found)
"""


def _run_alone(folder, images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    arguments = [folder, tmp_path / "images.npy", tmp_path / "found.npz", json.dumps(COUNTS)]
    result = subprocess.run(
        [sys.executable, "-c", JAX_ALONE, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return np.load(tmp_path / "found.npz")


@pytest.mark.parametrize("name", FAMILIES)
def test_jax_alone_gives_the_numbers_of_the_live_model(exported, name, tmp_path, digits):
    found = _run_alone(exported / f"{name}_stablehlo", digits, tmp_path)
    model, _ = load_model(Run(exported / name))
    detector = detectors.load(exported / f"{name}_detector")
    live = serving.Servable(model, registry.family(name))
    expected = live.methods["serving_default"](tf.constant(digits))
    expected = {**expected, "score": detector.score(digits), "p_value": detector.p_value(digits)}
    for key, values in expected.items():
        for count in COUNTS:
            np.testing.assert_allclose(found[f"serving_default_{key}_{count}"], values[:count], **CLOSE)
    for function in {"encode", "log_prob_parts"} & set(live.methods):
        for key, values in live.methods[function](tf.constant(digits)).items():
            for count in COUNTS:
                np.testing.assert_allclose(found[f"{function}_{key}_{count}"], values[:count], **CLOSE)
    if registry.family(name).noisy:
        for seed in (0, 7):
            seeded = model.log_prob(digits, seed=tf.constant(seed, tf.int64))
            np.testing.assert_allclose(found[f"seeded_{seed}"], seeded, **CLOSE)
        assert np.abs(found["seeded_7"] - found["seeded_0"]).max() > 1e-3
    _check_drawn(found, live, digits)


def _check_drawn(found, live, digits):
    """Draws are those of TensorFlow's own XLA; those after the first batch are others."""
    function, _ = live.of_size("sample", 4)
    drawn = tf.function(function, jit_compile=True, autograph=False)(tf.constant(5, tf.int64))["images"]
    np.testing.assert_array_equal(found["sample_4"], drawn)
    assert found["sample_7"].shape == digits.shape and found["sample_7"].dtype == np.uint8
    np.testing.assert_array_equal(found["sample_7"][:4], drawn)
    assert not np.array_equal(found["sample_7"][4:], drawn[:3])
    if "decode" in live.methods:
        assert found["decode"].shape == digits[:4].shape and found["decode"].dtype == np.uint8
    if "encode_latents_7" in found:
        assert np.abs(found["decode"].astype(int) - digits[:4]).max() <= 1


@pytest.mark.parametrize("name", ["glow", "pixelcnn"])
def test_draws_are_the_same_images_as_without_xla(exported, name):
    model, _ = load_model(Run(exported / name))
    drawn = run_stablehlo.Model(exported / f"{name}_stablehlo")("sample", n=4, seed=5)["images"]
    difference = np.abs(drawn - model.sample(4, seed=(0, 5)).numpy())
    assert difference.max() <= 1 and np.mean(difference > 0) < 1e-2


@pytest.mark.parametrize("name", FAMILIES)
def test_programs_are_stablehlo_and_nothing_else(exported, name):
    """A GPU's client takes what can be written as a portable artifact; that of the CPU takes more."""
    from jaxlib.mlir.dialects import stablehlo as dialect

    for file in (exported / f"{name}_stablehlo").glob("*.mlir"):
        assert dialect.serialize_portable_artifact_str(file.read_text(), dialect.get_current_version())


@pytest.mark.parametrize("name", FAMILIES)
def test_the_folder_holds_each_array_once_and_describes_every_program(exported, name):
    folder = exported / f"{name}_stablehlo"
    described = json.loads((folder / "signature.json").read_text())
    assert described["export_format"] == "stablehlo" and described["left_out"] == {}
    model, _ = load_model(Run(exported / name))
    methods = [*serving.Servable(model, registry.family(name)).methods, "score_map"]
    files = {f"{method}_{size}.mlir" for method in methods for size in SIZES}
    assert {entry["file"] for entry in described["programs"]} == files
    others = {"signature.json", "model_card.md", "weights.safetensors", "run_stablehlo.py"}
    assert {path.name for path in folder.iterdir()} == files | others
    weights = safetensors.numpy.load_file(folder / "weights.safetensors")
    sizes = sorted(weight.shape for weight in weights.values() if weight.shape)
    assert sizes == sorted(tuple(variable.shape) for variable in model.variables)
    for entry in described["programs"]:
        assert set(entry) == {"function", "batch_size", "file", "arguments", "outputs"}
        assert all(argument.get("weight", "images") for argument in entry["arguments"])


def test_the_export_command(runs, tmp_path):
    command = ["tfp_flows.export", f"--run={runs / 'vae'}", f"--out={tmp_path / 'out'}"]
    result = forked.command(*command, "--batch_sizes=1")
    assert result.returncode == 1 and not (tmp_path / "out").exists()
    assert "--batch_sizes has no meaning with --format=savedmodel" in result.stderr
    result = forked.command(*command, "--format=stablehlo", "--batch_sizes=2")
    assert result.returncode == 0 and "sample(n, seed) -> images" in result.stdout, result.stderr
    assert (tmp_path / "out" / "sample_2.mlir").exists()
    with pytest.raises(ExportedModelError, match="holds StableHLO, for JAX; score with python"):
        image_shape(tmp_path / "out")


@pytest.mark.parametrize("text", ["", "4,0", "-1", "a"])
def test_batch_sizes_are_positive_integers(text):
    with pytest.raises(ValueError, match="--batch_sizes must be positive integers, got"):
        export._batch_sizes(text.split(","))
    assert export._batch_sizes(["64", "1", "64"]) == [1, 64]


def test_the_reader_as_a_command(exported, digits, tmp_path):
    command = [sys.executable, str(exported / "vae_stablehlo" / "run_stablehlo.py")]
    command += [f"--out={tmp_path / 'scores.npz'}"]
    np.save(tmp_path / "images.npy", digits)
    result = subprocess.run(
        [*command, f"--images={tmp_path / 'images.npy'}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0 and "log_prob: float32 [7]" in result.stdout, result.stderr
    model, _ = load_model(Run(exported / "vae"))
    found = np.load(tmp_path / "scores.npz")
    np.testing.assert_allclose(found["log_prob"], model.log_prob(digits), **CLOSE)
    result = subprocess.run([*command, "--images=nowhere.npy"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1 and "nowhere.npy cannot be read" in result.stderr
    assert result.stderr.count("\n") == 1


def test_inputs_that_do_not_fit_are_refused(exported, digits):
    model = run_stablehlo.Model(exported / "glow_stablehlo")
    for function, inputs, message in (
        ("score", {}, "there is no function 'score'; there are serving_default, "),
        ("serving_default", {"image": digits}, "serving_default takes images; got image"),
        (
            "serving_default",
            {"images": digits.astype(np.float32)},
            r"images: uint8 \[N, 8, 8, 1\] is wanted, got float32 \[7, 8, 8, 1\]",
        ),
        ("serving_default", {"images": digits[:, :4]}, r"is wanted, got uint8 \[7, 4, 8, 1\]"),
        ("serving_default", {"images": digits[0]}, r"is wanted, got uint8 \[8, 8, 1\]"),
        ("serving_default", {"images": digits[:0]}, "at least 1, got"),
        ("log_prob_seeded", {"images": digits, "seed": 0.5}, "seed: one int64 is wanted, got one float64"),
        ("sample", {"n": 2**31, "seed": 0}, "n: one int32 is wanted"),
        ("sample", {"n": 0, "seed": 0}, "at least 1, got"),
    ):
        with pytest.raises(run_stablehlo.ModelError, match=message) as error:
            model(function, **inputs)
        assert "\n" not in str(error.value)


def _damaged(folder, tmp_path, **changes):
    """A copy of the folder whose first program is described otherwise."""
    out = tmp_path / "damaged"
    shutil.copytree(folder, out)
    described = json.loads((out / "signature.json").read_text())
    described["programs"][0].update(changes)
    (out / "signature.json").write_text(json.dumps(described))
    return out


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(file="../evil.mlir"), r"'../evil.mlir' is no name of a .mlir file"),
        (dict(file="/evil.mlir"), "is no name of a .mlir file"),
        (dict(file="..\\evil.mlir"), "is no name of a .mlir file"),
        (dict(file=3), "is no name of a .mlir file"),
        (dict(batch_size=0), "has batch size 0"),
        (dict(batch_size="4"), "has batch size '4'"),
        (dict(arguments=[{"weight": "nothing"}]), "takes nothing, which is not there"),
        (dict(outputs=7), "is damaged"),
        (dict(function="unknown"), "is damaged"),
    ],
)
def test_a_damaged_signature_is_refused(exported, tmp_path, changes, message):
    folder = _damaged(exported / "glow_stablehlo", tmp_path, **changes)
    with pytest.raises(run_stablehlo.ModelError, match=message):
        run_stablehlo.Model(folder)


def test_damaged_files_are_refused(exported, tmp_path, digits):
    with pytest.raises(run_stablehlo.ModelError, match="signature.json cannot be read"):
        run_stablehlo.Model(tmp_path)
    folder = _damaged(exported / "glow_stablehlo", tmp_path)
    (folder / "serving_default_4.mlir").write_text("module {")
    with pytest.raises(run_stablehlo.ModelError, match=r"default_4.mlir cannot be compiled: [^\n]+\Z"):
        run_stablehlo.Model(folder)("serving_default", images=digits)
    (folder / "weights.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(run_stablehlo.ModelError, match="weights.safetensors cannot be read"):
        run_stablehlo.Model(folder)
    (folder / "signature.json").write_text("{}")
    with pytest.raises(run_stablehlo.ModelError, match="is not of an export with --format=stablehlo"):
        run_stablehlo.Model(folder)


def test_the_default_without_png_is_the_same_under_xla(runs, tmp_path, digits):
    run = Run(runs / "glow")
    detector = detectors.Default(load_model(run)[0], png=False)
    detector.fit(data.load("digits", "validation").images).calibrate(
        data.load("digits", "calibration").images
    )
    detector.save(tmp_path / "detector")
    out = tmp_path / "out"
    serving.export(run, out, tmp_path / "detector", export_format="stablehlo", batch_sizes=[4])
    found = run_stablehlo.Model(out)("serving_default", images=digits[:7])
    np.testing.assert_allclose(found["score"], detector.score(digits[:7]), rtol=1e-3, atol=1e-3)


def test_what_xla_cannot_compile(runs, tmp_path, monkeypatch):
    run = Run(runs / "glow")
    model, _ = load_model(run)
    images = data.load("digits", "validation").images[:30]
    detectors.InputComplexity(model).fit(images).save(tmp_path / "png")
    detectors.Default(model).fit(images).save(tmp_path / "default")
    with pytest.raises(detectors.DetectorError, match="or fit it with `set` png=false"):
        serving.export(
            run, tmp_path / "out", tmp_path / "default", export_format="stablehlo", batch_sizes=[1]
        )
    with pytest.raises(detectors.DetectorError, match="input_complexity: XLA cannot compile this score"):
        serving.export(run, tmp_path / "out", tmp_path / "png", export_format="stablehlo", batch_sizes=[1])
    assert not (tmp_path / "out").exists()
    own = registry.family("glow")

    def methods(model):
        encode = own.methods(model)["encode"]
        return {"files": encode._replace(function=lambda x: {"file": tf.io.encode_png(x[0])})}

    monkeypatch.setattr(registry, "family", lambda *given: dataclasses.replace(own, methods=methods))
    described = serving.export(run, tmp_path / "out", export_format="stablehlo", batch_sizes=[1])
    assert set(described["left_out"]) == {"files"} and "EncodePng" in described["left_out"]["files"]
    assert set(described["methods"]) == {"serving_default", "sample", "log_prob_seeded"}
    with pytest.raises(run_stablehlo.ModelError, match="files was left out of this export: .*EncodePng"):
        run_stablehlo.Model(tmp_path / "out")("files", images=images)


@pytest.mark.parametrize("name", FAMILIES)
def test_exports_hold_allowed_operations_alone(exported, name):
    from jax.interpreters import mlir

    folder, found = exported / f"{name}_stablehlo", set()

    def note(operation):
        found.add(operation.name)
        return mlir.ir.WalkResult.ADVANCE

    for file in folder.glob("*.mlir"):
        with mlir.make_ir_context():
            mlir.ir.Module.parse(file.read_text()).operation.walk(note)
    assert len(found) > 20 and found <= stablehlo_check.OPERATIONS


def test_arrays_and_results_are_those_that_the_program_takes_and_gives(exported, tmp_path, digits):
    """Weights of another type and equal size gave NaN, swapped results each other's numbers, in silence."""
    source = exported / "vae_stablehlo"
    shutil.copytree(source, tmp_path / "weights")
    weights = safetensors.numpy.load_file(source / "weights.safetensors")
    as_integers = {name: array.view(np.int32) for name, array in weights.items()}
    (tmp_path / "weights" / "weights.safetensors").write_bytes(safetensors.numpy.save(as_integers))
    with pytest.raises(run_stablehlo.ModelError, match=r"argument \d+ is tensor<.*f32>, but tensor<.*i32>"):
        run_stablehlo.Model(tmp_path / "weights")("serving_default", images=digits)

    def described(change):
        shutil.rmtree(tmp_path / "sent", ignore_errors=True)
        shutil.copytree(source, tmp_path / "sent")
        values = json.loads((source / "signature.json").read_text())
        change(values)
        (tmp_path / "sent" / "signature.json").write_text(json.dumps(values))
        with pytest.raises(run_stablehlo.ModelError) as error:
            run_stablehlo.Model(tmp_path / "sent")("serving_default", images=digits)
        assert "\n" not in str(error.value)
        return str(error.value)

    def swap(values):
        for entry in values["programs"]:
            entry["outputs"].reverse()

    assert "gives ['score', 'p_value', 'log_prob', 'bits_per_dim'], but" in described(swap)
    assert "has format 9" in described(lambda v: v.update(format=9))
    assert "is damaged" in described(lambda v: v.update(programs=[1.5]))
    assert "is damaged" in described(lambda v: v.pop("methods"))

    def other_shape(values):
        for entry in values["programs"]:
            entry["arguments"][0]["shape"] = [2, 8, 8, 1]

    assert "argument 0 is tensor<4x8x8x1xui8>, but tensor<2x8x8x1xui8>" in described(other_shape)


def test_the_reader_of_an_export_is_one_file_that_says_it_all(exported):
    text = (exported / "vae_stablehlo" / "run_stablehlo.py").read_text()
    assert text == standalone.text() and "tfp_flows.serving" not in text
    assert "def check_text" in text and text.count('"""Runs a folder') == 1
