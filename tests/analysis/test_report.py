"""The report as a command: its page, its files, its cache, and what it refuses."""

import csv
import json
import os
import re
import time

import numpy as np
import pytest

import tfp_flows
from analysis import cache, study
from tests import forked
from tests.pages import browser, walk
from tfp_flows import data, training
from tfp_flows.models import registry
from tfp_flows.runs import Run, RunSpec, load_model

DATASETS = "digits@contrast=0.5,constant,noise,noise"
SMALL = ["--max_images=40", "--num_probes=4", "--covariance_images=8", "--sweep_images=10", "--noprogress"]


def _train(folder, coupling):
    config = tfp_flows.GlowConfig(levels=2, steps_per_level=1, hidden_channels=4, coupling=coupling)
    settings = training.TrainingConfig(steps=6, batch_size=32, validate_every=0)
    spec = RunSpec("glow", config, vars(settings), "digits", (8, 8, 1))
    images = data.load("digits", "train").images
    training.train(Run(folder), spec, "", images, images[:32], progress=False)


def _train_other(folder, family):
    family = registry.family(family)
    small = dict(num_resnet=1, num_hierarchies=2, num_filters=4)
    config = family.config_class(**(small if family.name == "pixelcnn" else dict(architecture="small")))
    settings = training.TrainingConfig(steps=2, batch_size=32, validate_every=0)
    spec = RunSpec(family.name, config, vars(settings), "digits", (8, 8, 1))
    images = data.load("digits", "train").images
    training.train(Run(folder), spec, "", images, images[:32], progress=False)


def _report(*arguments):
    return forked.command("analysis.report", *arguments, timeout=900)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report of a NVP-Glow and a CV-Glow that were trained for a moment."""
    folder = tmp_path_factory.mktemp("report")
    for name, coupling in (("nvp", "affine"), ("cv", "additive")):
        _train(folder / name, coupling)
    runs = f"--runs={folder / 'nvp'},{folder / 'cv'}"
    result = _report(runs, f"--datasets={DATASETS}", f"--out={folder / 'out'}", *SMALL)
    assert result.returncode == 0, result.stderr
    return folder, runs, result


def test_page_is_whole_and_self_contained(made):
    folder, _, result = made
    out = folder / "out"
    html = (out / "index.html").read_text(encoding="utf-8")
    sources = re.findall(r'<img src="([^"]*)"', html)
    pictures = sorted(path.name for path in (out / "figures").iterdir())
    names = [name for name in pictures if name.endswith(".png") and not name.endswith("-dark.png")]
    assert len(sources) == len(names) > 8 and "decomposition_digits.png" in names
    assert all(re.match("data:image/(png|svg[+]xml);base64,", source) for source in sources)
    dark = [name for name in pictures if "-dark." in name]
    assert len(dark) == len(names) == html.count('media="(prefers-color-scheme: dark)" srcset="data:')
    assert {"moments_nvp.svg", "moments_nvp-dark.svg", "samples_nvp-dark.png"} <= set(pictures)
    assert all(re.findall(r'<img [^>]*alt="([^"]+)"', html)) and html.count('alt="') == len(sources)
    assert not re.search(r'(src|href)="(https?:|//)', html) and "<script" not in html
    assert "Predictions with the observed sign: " in result.stdout and "index.html" in result.stdout


def test_tables_hold_what_was_measured(made):
    folder, _, _ = made
    with open(folder / "out" / "tables" / "likelihoods.csv", newline="", encoding="utf-8") as file:
        rows = {(row["run"], row["data set"]): row for row in csv.DictReader(file)}
    assert len(rows) == 8
    model, _ = load_model(Run(folder / "cv"))
    images = data.load("digits@contrast=0.5", "test", max_images=40).images
    expected = model.log_prob(images).numpy().mean()
    np.testing.assert_allclose(float(rows["cv", "digits@contrast=0.5"]["log P (nats)"]), expected, rtol=1e-5)
    results = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    terms = {}
    for row in results["layers"]:
        key = row["run"], row["data set"]
        terms[key] = terms.get(key, 0.0) + row["log|det| (nats)"] - 64 * np.log(256) * (key not in terms)
    for row in results["levels"]:
        terms[row["run"], row["data set"]] += row["log p(z)"]
    for key, row in rows.items():
        np.testing.assert_allclose(terms[key], float(row["log P (nats)"]), rtol=1e-5)
    with open(folder / "out" / "tables" / "images_nvp.csv", newline="", encoding="utf-8") as file:
        images = list(csv.DictReader(file))
    mean = np.mean([float(row["log P"]) for row in images if row["data set"] == "noise"])
    np.testing.assert_allclose(mean, float(rows["nvp", "noise"]["log P (nats)"]), rtol=1e-9)
    shares = {(row["run"], row["data set"]): row for row in results["volume_share"]}
    assert shares["cv", "noise"]["from volume"] == 0 != shares["nvp", "noise"]["from volume"]
    for row in results["second_order"]:
        assert (row["linear part"] == "") == (row["run"] == "nvp")
        assert abs(row["Hutchinson"] - row["exact diagonal"]) < 6 * row["Hutchinson ±"] + 1e-3
    assert len(results["signs"]) == 6


def test_second_call_computes_nothing(made):
    folder, runs, _ = made
    kept = {path: path.stat().st_mtime_ns for path in (folder / "out" / "cache").iterdir()}
    page = (folder / "out" / "index.html").read_bytes()
    result = _report(runs, f"--datasets={DATASETS}", f"--out={folder / 'out'}", *SMALL)
    assert result.returncode == 0, result.stderr
    assert {path: path.stat().st_mtime_ns for path in (folder / "out" / "cache").iterdir()} == kept
    assert (folder / "out" / "index.html").read_bytes() == page


def test_in_a_real_browser(made):
    """No console errors, every picture loads, no sideways scroll on a phone; light and dark."""
    path = browser.find()
    if path is None:
        pytest.skip("no Chromium on PATH: the page was not opened in a browser")
    with browser.started(path) as opened:
        walk.everywhere(opened, (made[0] / "out" / "index.html").as_uri())
        assert opened.run("document.images.length") > 8


def test_cache_heals_and_keys(tmp_path):
    results, calls = cache.Cache(tmp_path), []

    def compute():
        calls.append(1)
        return {"x": np.arange(3)}

    for _ in range(2):
        np.testing.assert_array_equal(results.get("stage", {"a": 1}, compute)["x"], [0, 1, 2])
    assert len(calls) == 1
    results.get("stage", {"a": 2}, compute)
    assert len(calls) == 2
    for path in tmp_path.iterdir():
        os.truncate(path, 20)
    results.get("stage", {"a": 1}, compute)
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--datasets=nosuch/thing"], "nosuch"),
        (["--datasets=photos"], "photos: its images are 32x32x3, but 8x8x1 is wanted"),
        (["--runs=/nowhere", "--datasets=noise"], "no run in /nowhere"),
        (["--datasets=digits"], "names nothing but the data that .* was trained on"),
        (["--datasets=npz:one.npz"], r"npz:one.npz \(test\): .*at least 2 images, got 1"),
    ],
)
def test_bad_input_gets_one_line(made, tmp_path, arguments, message):
    folder, runs, _ = made
    np.savez(tmp_path / "one.npz", test=np.zeros([1, 8, 8, 1], np.uint8))
    arguments = [a.replace("one.npz", str(tmp_path / "one.npz")) for a in arguments]
    started = time.monotonic()
    result = _report(runs, f"--out={tmp_path / 'out'}", *arguments, *SMALL)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    (line,) = result.stderr.splitlines()
    assert re.search(message.replace("one.npz", ".*one.npz"), line), line
    assert time.monotonic() - started < 120


def test_models_that_are_no_flows_are_reported_as_far_as_they_go(made, tmp_path):
    folder, _, _ = made
    for family in ("vae", "pixelcnn"):
        _train_other(tmp_path / family, family)
    runs = f"--runs={folder / 'cv'},{tmp_path / 'vae'},{tmp_path / 'pixelcnn'}"
    result = _report(runs, "--datasets=noise", f"--out={tmp_path / 'out'}", *SMALL)
    assert result.returncode == 0, result.stderr
    html = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Not for vae, pixelcnn: there is no change of variables" in html
    with open(tmp_path / "out" / "tables" / "likelihoods.csv", newline="", encoding="utf-8") as file:
        rows = {(row["run"], row["data set"]): row for row in csv.DictReader(file)}
    assert len(rows) == 6
    model, _ = load_model(Run(tmp_path / "pixelcnn"))
    expected = model.log_prob(data.load("digits", "test", max_images=40).images).numpy().mean()
    np.testing.assert_allclose(float(rows["pixelcnn", "digits"]["log P (nats)"]), expected, rtol=1e-5)
    pictures = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"samples_vae.png", "contrast_pixelcnn.png", "second_order_cv.png"} <= pictures
    assert "second_order_vae.png" not in pictures
    alone = _report(f"--runs={tmp_path / 'vae'}", "--datasets=noise", f"--out={tmp_path / 'o2'}", *SMALL)
    assert alone.returncode == 0, alone.stderr
    assert "There is nothing to compare with." in alone.stdout


def test_log_p_of_a_run_with_variational_noise_is_that_of_its_model(tmp_path):
    config = tfp_flows.GlowConfig(
        levels=2,
        steps_per_level=1,
        hidden_channels=4,
        dequantization="variational",
        dequantization_steps=1,
        dequantization_channels=4,
    )
    settings = training.TrainingConfig(steps=2, batch_size=32, validate_every=0)
    spec = RunSpec("glow", config, vars(settings), "digits", (8, 8, 1))
    images = data.load("digits", "train").images
    training.train(Run(tmp_path / "run"), spec, "", images, images[:32], progress=False)
    chosen = study.StudyConfig(("noise",), max_images=20)
    model, _ = load_model(Run(tmp_path / "run"))
    for _ in range(2):  # computed, then found
        of_run = study.RunStudy(Run(tmp_path / "run"), chosen, cache.Cache(tmp_path / "cache"))
        terms = of_run.terms("digits")
        assert np.ptp(np.asarray(terms.log_q)) > 0
        expected = model.log_prob(of_run.images("digits", "test").images)
        np.testing.assert_allclose(of_run.log_probs("digits"), expected, rtol=1e-5)
