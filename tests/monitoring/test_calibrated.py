"""What the folders of detectors and exports say of the calibration, read without TensorFlow."""

import json

import numpy as np
import pytest

from tests import forked
from tests.scoring import images
from tfp_flows import detectors, monitoring


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return images.save_detector(tmp_path_factory.mktemp("saved") / "detector")


def test_a_saved_detector_gives_its_scores(folder):
    detector = detectors.load(folder)
    found = monitoring.of_detector(folder)
    assert found.scores.tolist() == detector.calibration_scores.tolist()
    new = np.stack([images.image(number) for number in range(100, 130)])
    np.testing.assert_allclose(found.p_values(detector.score(new)), detector.p_value(new), rtol=1e-6)


def test_an_export_gives_its_number(tmp_path):
    (tmp_path / "signature.json").write_text(json.dumps({"detector": {"num_calibration": 7}}))
    assert monitoring.of_export(tmp_path).num_calibration == 7
    for detector in (None, {}, {"num_calibration": True}, {"num_calibration": 0}, 3):
        (tmp_path / "signature.json").write_text(json.dumps({"detector": detector}))
        with pytest.raises(monitoring.MonitoringError, match="without a calibrated detector"):
            monitoring.of_export(tmp_path)


def test_damaged_scores_are_refused(tmp_path):
    np.savez(tmp_path / "arrays.npz", calibration_scores=np.ones([2, 2], np.float32))
    with pytest.raises(monitoring.MonitoringError, match="damaged"):
        monitoring.of_detector(tmp_path)
    np.savez(tmp_path / "arrays.npz", other=np.ones(3))
    with pytest.raises(monitoring.MonitoringError, match="not calibrated"):
        monitoring.of_detector(tmp_path)


def test_what_score_wrote_is_watched(folder, tmp_path):
    (tmp_path / "new").mkdir()
    for number in range(200, 240):
        images.write_png(tmp_path / "new" / f"{number}.png", number)
    assert images.score(f"folder:{tmp_path / 'new'}", tmp_path / "scores.csv", folder).wait().returncode == 0
    found = forked.command("tfp_flows.monitor", f"--scores={tmp_path}/scores.csv", f"--detector={folder}")
    assert found.returncode == 0, found.stderr
    assert "40 rows in 1 batch." in found.stdout and "20 calibration images" in found.stdout
