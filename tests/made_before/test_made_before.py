"""Runs, detectors and exports of version 0.1 are read, with the numbers that they had then."""

import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tests import forked
from tfp_flows import detectors, runs
from tfp_flows.serving.exported_model import ExportedModel

ARCHIVE = pathlib.Path(__file__).with_name("version_0_1.zip")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the archive is unpacked."""
    folder = tmp_path_factory.mktemp("version_0_1")
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    with np.load(folder / "expected.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("family", ["glow", "vae", "pixelcnn"])
def test_run(folder, expected, family):
    model, step = runs.load_model(runs.Run(folder / family))
    assert step == 3
    np.testing.assert_allclose(model.log_prob(expected["images"]), expected[family], rtol=1e-5)


def test_detector(folder, expected):
    detector = detectors.load(folder / "detector")
    np.testing.assert_allclose(detector.score(expected["images"]), expected["detector_score"], atol=2e-3)
    np.testing.assert_allclose(detector.p_value(expected["images"]), expected["detector_p"], rtol=1e-6)


def test_savedmodel(folder, expected):
    found = ExportedModel(folder / "export", batch_size=8)(expected["images"])
    for name in ("log_prob", "bits_per_dim", "score", "p_value"):
        np.testing.assert_allclose(found[name], expected[f"export_{name}"], rtol=1e-5, atol=2e-3)


def test_stablehlo(folder, expected):
    """By the reader that lies beside it, in a process of its own."""
    code = (
        "import sys, numpy as np; sys.path.insert(0, '.'); import run_stablehlo\n"
        "images = np.load('../expected.npz')['images']\n"
        "model = run_stablehlo.Model('.')\n"
        "print(model('serving_default', images=images)['log_prob'].tolist())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder / "stablehlo", capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(json.loads(result.stdout), expected["glow"], atol=2e-3)


def test_training_goes_on(folder, tmp_path):
    """The very flag file of the run, with more steps, from where it stopped."""
    shutil.copytree(folder / "glow", tmp_path / "glow")
    arguments = ["--flagfile=glow/flags.flags", "--steps=5", "--evaluate_on=", "--parts=1"]
    result = forked.command("tfp_flows.train", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Trained to step 5" in result.stdout
