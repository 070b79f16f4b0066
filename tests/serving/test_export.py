"""Exported models: with TensorFlow alone the same numbers, any batch size, and a table of scores."""

import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet
import pytest
import tensorflow as tf

import tfp_flows
from tests import forked
from tests.faults import signals
from tests.serving.missing import without_beam
from tfp_flows import data, detectors, scoring, serving
from tfp_flows.data import DataError, streams
from tfp_flows.models import registry
from tfp_flows.runs import Run, load_model
from tfp_flows.serving.exported_model import ExportedModel, ExportedModelError

SHAPE = (8, 8, 1)
METHODS = {
    "glow": {"encode", "decode", "log_prob_parts", "log_prob_seeded", "log_density"},
    "vae": {"encode", "decode", "log_prob_parts", "log_prob_seeded"},
    "pixelcnn": {"log_prob_parts"},
}


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", "test").images


@pytest.fixture(scope="module")
def exported(runs):
    """The export of each, with its detector."""
    for name in METHODS:
        run = Run(runs / name)
        serving.export(run, runs / f"{name}_exported", runs / f"{name}_detector")
    return runs


@pytest.mark.parametrize("name", METHODS)
def test_an_earlier_export_gives_way_and_what_somebody_put_beside_it_does_not(exported, tmp_path, name):
    folder = exported / f"{name}_exported"
    assert serving.signature_file.check_out(folder) == folder
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "README.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds README.txt beside the export, which would be lost"):
        serving.export(Run(exported / name), copy)
    assert (copy / "README.txt").read_text() == "mine"


# Loads an export while every import but TensorFlow's own fails.
TENSORFLOW_ALONE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        names = ("tfp_flows", "vae", "pixelcnn", "tensorflow_probability", "tf_keras", "jax", "sklearn",
                 "scipy", "matplotlib", "tensorflow_datasets", "jinja2", "PIL", "imagecodecs", "pyarrow")
        if name.split(".")[0] in names:
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocked())
import pathlib

import numpy as np
import tensorflow as tf

images = np.load(sys.argv[1])
for path in sys.argv[2:]:
    loaded = tf.saved_model.load(path)
    found = {"log_prob_attribute": loaded.log_prob(images)}
    for count in (len(images), 1, 3):
        found.update({f"{k}_{count}": v for k, v in loaded.signatures["serving_default"](
            images=tf.constant(images[:count])).items()})
    drawn = loaded.signatures["sample"](n=tf.constant(2), seed=tf.constant(5, tf.int64))
    found["sample"] = drawn["images"]
    for name in ("encode", "log_prob_parts"):
        if name in loaded.signatures:
            found.update({f"{name}_{k}": v for k, v in loaded.signatures[name](
                images=tf.constant(images)).items()})
    if "decode" in loaded.signatures:
        latents = found.get("encode_latents", found.get("encode_mean"))
        found["decode"] = loaded.signatures["decode"](latents=latents)["images"]
    if "log_prob_seeded" in loaded.signatures:
        for seed in (0, 1):
            found[f"seeded_{seed}"] = loaded.signatures["log_prob_seeded"](
                images=tf.constant(images), seed=tf.constant(seed, tf.int64))["log_prob"]
    np.savez(pathlib.Path(path).name.removesuffix("_exported"), **{k: v.numpy() for k, v in found.items()})
"""


@pytest.fixture(scope="module")
def alone(exported, digits, tmp_path_factory):
    """Folder of what each family's export said, in one process that can import TensorFlow alone."""
    folder = tmp_path_factory.mktemp("alone")
    np.save(folder / "images.npy", digits[:7])
    exports = [str(exported / f"{name}_exported") for name in METHODS]
    command = [sys.executable, "-c", TENSORFLOW_ALONE, "images.npy", *exports]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("name", METHODS)
def test_with_tensorflow_alone_the_numbers_are_those_of_the_live_model(alone, exported, digits, name):
    images = digits[:7]
    found = np.load(alone / f"{name}.npz")
    model, _ = load_model(Run(exported / name))
    detector = detectors.load(exported / f"{name}_detector")
    log_prob = model.log_prob(images).numpy()
    close = dict(rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found["log_prob_attribute"], log_prob, **close)
    for count in (7, 1, 3):
        np.testing.assert_allclose(found[f"log_prob_{count}"], log_prob[:count], **close)
        bits = tfp_flows.bits_per_dim(log_prob[:count], SHAPE)
        np.testing.assert_allclose(found[f"bits_per_dim_{count}"], bits, rtol=1e-5)
        np.testing.assert_allclose(found[f"score_{count}"], detector.score(images[:count]), **close)
        np.testing.assert_allclose(found[f"p_value_{count}"], detector.p_value(images[:count]), atol=0.02)
    family = registry.family(name)
    np.testing.assert_array_equal(
        found["sample"], family.sample(model, 2, (0, 5), False).numpy().astype(np.uint8)
    )
    described = json.loads((exported / f"{name}_exported" / "signature.json").read_text())
    assert set(described["methods"]) == METHODS[name] | {"serving_default", "sample", "score_map"}
    assert described["methods"]["sample"]["inputs"] == {
        "n": {"dtype": "int32", "shape": []},
        "seed": {"dtype": "int64", "shape": []},
    }
    if family.noisy:
        np.testing.assert_allclose(found[f"seeded_{described['seed']}"], log_prob, **close)
        assert np.abs(found["seeded_1"] - log_prob).max() > 1e-3
    _check_parts(name, found, images, log_prob)


def _check_parts(name, found, images, log_prob):
    if name == "glow":
        total = sum(found[f"log_prob_parts_{k}"] for k in ("log_prob_z", "log_det", "dequantization"))
        np.testing.assert_allclose(total, log_prob, rtol=1e-5, atol=1e-3)
        assert np.abs(found["decode"].astype(int) - images).max() <= 1
    elif name == "vae":
        elbo = found["log_prob_parts_reconstruction"] - found["log_prob_parts_kl"]
        assert (elbo < log_prob + 1.0).all() and (found["log_prob_parts_kl"] >= 0).all()
        assert found["decode"].shape == images.shape and found["decode"].dtype == np.uint8
        assert (found["encode_scale"] > 0).all()
    else:
        pixels = found["log_prob_parts_pixel_log_probs"]
        np.testing.assert_allclose(pixels.sum(axis=(1, 2)), log_prob, rtol=1e-5, atol=1e-3)


def test_model_card_says_what_it_was_trained_on(exported):
    card = (exported / "glow_exported" / "model_card.md").read_text()
    for text in ("glow over 8x8x1 images, trained on digits", "`typicality`", "bits/dim |", "does not mean"):
        assert text in card
    count = len(data.load("digits", "calibration"))
    assert f"Calibrated with {count} held-out images" in card


def test_with_xla_batches_are_padded_to_few_sizes(runs, digits, tmp_path):
    run = Run(runs / "glow")
    serving.export(run, tmp_path / "xla", runs / "glow_detector", jit_compile=True)
    loaded = tf.saved_model.load(str(tmp_path / "xla"))
    model, _ = load_model(run)
    images = np.concatenate([digits] * 2)[:150]
    for count in (1, 2, 17, 150):
        found = loaded.signatures["serving_default"](images=tf.constant(images[:count]))
        np.testing.assert_allclose(found["log_prob"], model.log_prob(images[:count]), rtol=1e-4, atol=1e-2)
    assert json.loads((tmp_path / "xla" / "signature.json").read_text())["jit_compile"] is True


# Scoring


def _read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _score(*arguments, **settings):
    return forked.command("tfp_flows.score", "--noprogress", *arguments, **settings)


def test_score_command_on_a_folder_with_broken_files(exported, tmp_path, digits, damaged_folder):
    folder = damaged_folder(tmp_path / "images", digits)
    model = f"--model={exported / 'glow_exported'}"
    result = _score(model, f"--images=folder:{folder}", f"--out={tmp_path / 's.csv'}", "--batch_size=4")
    assert result.returncode == 3, result.stderr
    assert "7 images scored, 2 could not be read" in result.stdout
    rows, errors = _read(tmp_path / "s.csv"), _read(tmp_path / "s.csv.errors.csv")
    good = [i for i in range(9) if i not in (3, 5)]
    assert [row["key"] for row in rows] == [f"{i:02d}.png" for i in good]
    assert [row["key"] for row in errors] == ["03.png", "05.png"]
    assert "cannot be read" in errors[0]["error"] and "is 4x4x1, but 8x8x1 is wanted" in errors[1]["error"]
    live = detectors.load(exported / "glow_detector")
    scores = live.score(digits[good])
    np.testing.assert_allclose([float(row["score"]) for row in rows], scores, rtol=1e-5, atol=1e-3)
    p_values = np.array([float(row["p_value"]) for row in rows])
    assert [row["verdict"] for row in rows] == ["out" if p <= 0.05 else "in" for p in p_values]
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob("*.progress.json"))
    again = _score(model, f"--images=folder:{folder}", f"--out={tmp_path / 's.csv'}")
    assert again.returncode == 1 and "is there already; remove it" in again.stderr


@pytest.mark.parametrize("name", METHODS)
def test_the_numbers_of_an_image_do_not_depend_on_its_company(exported, digits, name):
    """To the last bit: another order and other batches make the same table."""
    model = ExportedModel(exported / f"{name}_exported", batch_size=32)
    together = model(digits[:32])
    for first, last in ((0, 1), (5, 12), (3, 32)):
        alone = model(digits[first:last])
        for column, values in together.items():
            np.testing.assert_array_equal(alone[column], values[first:last], strict=True)


def test_an_exported_model_refuses_what_is_no_batch_of_its_images(exported, digits):
    model = ExportedModel(exported / "glow_exported", batch_size=4)
    for wrong, message in (
        (digits[:3] + 0.5, "0..255"),
        (digits[:3] * 20.0, "0..255"),
        (digits[0], r"must have shape \[N, 8, 8, 1\], got \(8, 8, 1\)"),
        (digits[:3, :1, :1], r"must have shape \[N, 8, 8, 1\], got \(3, 1, 1, 1\)"),
        (digits[:5], "at most `batch_size` = 4 images, got 5"),
    ):
        with pytest.raises(ExportedModelError, match=message):
            model(wrong)
    np.testing.assert_array_equal(model(digits[:3].astype(float))["log_prob"], model(digits[:3])["log_prob"])


def test_without_apache_beam_a_runner_is_refused_in_one_line(tmp_path):
    def refused(*arguments):
        result = _score("--images=digits", f"--out={tmp_path / 's.csv'}", *arguments, before=without_beam)
        assert result.returncode == 1 and not list(tmp_path.iterdir())
        return result.stderr.strip().splitlines()[-1]

    assert 'pip install "tfp-flows[beam]"' in refused("--model=x", "--runner=DirectRunner")
    assert "export the detector" in refused("--detector=x", "--runner=DirectRunner")
    assert "give --runner" in refused("--model=x", "--num_shards=2")


def test_score_command_with_a_saved_detector_and_parquet(exported, tmp_path, digits):
    np.savez(tmp_path / "images.npz", images=digits[:20, ..., 0])
    result = _score(
        f"--detector={exported / 'vae_detector'}",
        f"--images=npz:{tmp_path / 'images.npz'}",
        f"--out={tmp_path / 's.parquet'}",
    )
    assert result.returncode == 0, result.stderr
    table = pyarrow.parquet.read_table(tmp_path / "s.parquet").to_pydict()
    assert table["key"] == [f"images:{i}" for i in range(20)] and set(table["verdict"]) <= {"in", "out"}
    detector = detectors.load(exported / "vae_detector")
    np.testing.assert_allclose(table["score"], detector.score(digits[:20]), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(table["log_prob"], detector.models[0].log_prob(digits[:20]), rtol=1e-5)


def _slow_scorer(images):
    values = images.astype(np.float32).sum(axis=(1, 2, 3))
    return {"log_prob": -values, "bits_per_dim": values / 7, "score": values, "p_value": values / 1e5}


class _Killed(Exception):
    pass


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_job_that_was_killed_goes_on_without_a_row_lost_or_twice(tmp_path, digits, ending, damaged_folder):
    folder = damaged_folder(tmp_path / "images", digits, count=12)
    job = scoring.Job("folder", "model", 0.05)

    def open_stream(skip):
        return streams.stream(f"folder:{folder}", SHAPE, skip=skip)

    expected = tmp_path / f"whole.{ending}"
    counts = scoring.score_stream(_slow_scorer, open_stream, expected, job, 2, progress=False)
    assert counts == (10, 2)
    out = tmp_path / f"parts.{ending}"
    calls = []

    def dying(images):
        calls.append(len(images))
        if len(calls) % 3 == 2:
            raise _Killed
        return _slow_scorer(images)

    for _ in range(20):
        try:
            scoring.score_stream(dying, open_stream, out, job, 2, progress=False)
            break
        except _Killed:
            # What a killed process may have written beyond the last note.
            with open(f"{out}.part", "a", encoding="utf-8") as file:
                file.write("half a ro")
    assert len(calls) > 6 and out.read_bytes() == expected.read_bytes()
    errors = [pathlib.Path(f"{path}.errors.csv").read_text() for path in (out, expected)]
    assert errors[0] == errors[1]
    with pytest.raises(scoring.ScoringError, match="must end in .csv or .parquet"):
        scoring.score_stream(_slow_scorer, open_stream, tmp_path / "x.txt", job)


def test_another_job_does_not_go_on_with_the_table_of_the_first(tmp_path, digits, damaged_folder):
    folder = damaged_folder(tmp_path / "images", digits)

    calls = []

    def die(images):
        calls.append(images)
        if len(calls) > 1:
            raise _Killed
        return _slow_scorer(images)

    def score(job):
        scoring.score_stream(
            die,
            lambda n: streams.stream(f"folder:{folder}", SHAPE),
            tmp_path / "x.csv",
            job,
            2,
            progress=False,
        )

    with pytest.raises(_Killed):
        score(scoring.Job("a", "model", 0.05))
    with pytest.raises(scoring.ScoringError, match="is of a job with another alpha"):
        score(scoring.Job("a", "model", 0.1))


def test_numbers_in_the_table_read_back_exactly(tmp_path, digits):
    values = np.float32([-1234.5678, 1e-7, np.inf, -0.0, 3.0])

    def scorer(images):
        return dict.fromkeys(("log_prob", "bits_per_dim", "score", "p_value"), values)

    items = [streams.Item(f"a,{i}\n", image) for i, image in enumerate(digits[:5])]
    scoring.score_stream(
        scorer, lambda skip: iter(items), tmp_path / "x.csv", scoring.Job("", "", 0.1), 5, False
    )
    rows = _read(tmp_path / "x.csv")
    np.testing.assert_array_equal(np.float32([row["score"] for row in rows]), values)
    assert [scoring.unescape(row["key"]) for row in rows] == [item.key for item in items]


def test_sigint_leaves_a_job_that_goes_on(exported, tmp_path, digits):
    np.savez(tmp_path / "images.npz", images=np.concatenate([digits] * 300))
    arguments = [f"--model={exported / 'glow_exported'}", f"--images=npz:{tmp_path / 'images.npz'}"]
    arguments += [f"--out={tmp_path / 's.csv'}", "--batch_size=16", "--noprogress"]
    process = forked.start("tfp_flows.score", *arguments, before=signals.usual)
    part, deadline = tmp_path / "s.csv.part", time.monotonic() + 120
    while not (part.exists() and part.stat().st_size > 5000):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    found = process.wait()
    assert found.stderr.strip().endswith("Interrupted.") and found.returncode == 130
    noted = json.loads((tmp_path / "s.csv.progress.json").read_text())
    assert 0 < noted["counts"][0] < 300 * len(digits)
    os.truncate(part, noted["rows"])
    assert len(_read(part)) == noted["counts"][0]


def test_a_job_that_failed_at_once_leaves_the_way_free(tmp_path, digits):
    """A mistyped name must not have to be cleaned up after."""

    def score(name):
        job = scoring.Job(name, "model", 0.05)
        return scoring.score_stream(
            _slow_scorer, lambda n: streams.stream(name, SHAPE, skip=n), tmp_path / "s.csv", job, 4, False
        )

    with pytest.raises(DataError, match="no such file"):
        score(f"npz:{tmp_path / 'mistyped.npz'}")
    np.savez(tmp_path / "right.npz", images=digits[:6])
    assert score(f"npz:{tmp_path / 'right.npz'}") == (6, 0)
    assert len(_read(tmp_path / "s.csv")) == 6


def test_what_is_no_export_is_refused(tmp_path):
    result = _score(f"--model={tmp_path}", "--images=digits", f"--out={tmp_path / 's.csv'}")
    assert result.returncode == 1 and "is no exported model" in result.stderr
    assert result.stderr.strip().count("\n") == 0 and not list(tmp_path.iterdir())
