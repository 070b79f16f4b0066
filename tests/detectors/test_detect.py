"""`python -m tfp_flows.detect`."""

import numpy as np

from tests import forked
from tests.detectors.models import DIGITS
from tfp_flows import data, detectors, runs


def test_detect_command(run, tmp_path):
    out = tmp_path / "detector"
    flags = [f"--run={run}", f"--out={out}", "--noprogress", "--max_images=40"]
    result = forked.command("tfp_flows.detect", *flags, "--detector=density_of_states", "--set=density=svm")
    assert result.returncode == 0, result.stderr
    assert "fitted to 40 images, calibrated with 40" in result.stdout and "can be exported" in result.stdout
    assert result.stdout.endswith(detectors.coverage.expectations(40) + "\n")
    detector = detectors.load(out)
    assert detector.settings == {"density": "svm"} and len(detector.calibration_scores) == 40
    validation = data.load("digits", "validation", max_images=40).images
    model, _ = runs.load_model(runs.Run(run))
    expected = detectors.DensityOfStates(model, "svm").fit(validation)
    np.testing.assert_allclose(detector.score(DIGITS[:9]), expected.score(DIGITS[:9]), rtol=1e-5)
    result = forked.command("tfp_flows.detect", *flags, "--detector=typicality", "--set=alpha=1")
    assert result.returncode == 1 and "typicality has no such setting" in result.stderr, result.stderr
    assert result.stderr.strip().count("\n") == 0
