"""Kind 3: a p-value, a threshold and a level say what is attainable, everywhere alike."""

import numpy as np
import pytest
import tensorflow as tf

from tests.detectors.models import gaussian, linear_flow, random_images
from tfp_flows import detectors


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder of a calibrated detector whose model is stored beside it."""
    folder = tmp_path_factory.mktemp("saved") / "detector"
    detectors.Typicality(gaussian()).fit(random_images()).calibrate(random_images(seed=1)).save(folder)
    return folder


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"calibration_scores": np.float32([1, np.nan])}, "calibration scores hold NaN"),
        ({"calibration_scores": np.float32([2, 1])}, "calibration scores are not in ascending order"),
        ({"calibration_scores": np.float32([])}, r"calibration scores .* n of 1 or more, they have \[0\]"),
        ({"calibration_scores": np.float32([[1, 2]])}, r"calibration scores .* they have \[1, 2\]"),
        ({"calibration_scores": np.float64([1, 2])}, "calibration scores must be float32, .* float64"),
        ({"entropy": np.array(np.nan)}, "its fitted entropy holds NaN"),
        ({"entropy": np.array(np.inf)}, "its fitted entropy holds NaN or infinity"),
        ({"entropy": np.zeros(12)}, r"arrays do not fit its formula \(entropy \[12\]\)"),
        ({"entropy": np.zeros(2)}, r"arrays do not fit its formula \(entropy \[2\]\)"),
        ({"entropy": np.float32(1.0)}, "arrays do not fit its formula"),
        ({"entropy": np.array("high")}, "its fitted entropy must be numbers"),
    ],
)
def test_case_13_a_damaged_detector_is_refused_when_it_is_loaded(saved, changes, reason):
    sound = dict(np.load(saved / "arrays.npz"))
    try:
        np.savez_compressed(saved / "arrays.npz", **{**sound, **changes})
        with pytest.raises(detectors.DetectorError, match=reason) as error:
            detectors.load(saved)
    finally:
        np.savez_compressed(saved / "arrays.npz", **sound)
    assert "\n" not in str(error.value) and str(saved) in str(error.value)
    assert len(detectors.load(saved).calibration_scores) == 50


def test_case_13_infinity_is_kept_where_it_has_a_meaning(tmp_path):
    """A background that is the model: the ratio never varies, and its distance is -inf."""
    detectors.LikelihoodRatio(gaussian(), [gaussian()]).fit(random_images()).save(tmp_path / "ratio")
    assert np.isneginf(detectors.load(tmp_path / "ratio").fitted["distance"]).all()


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_case_14_one_log_probability_that_is_no_number_is_refused_by_fit(value):
    class Broken(tf.Module):
        def __init__(self):
            super().__init__()
            self.weight = tf.Variable(1.0)

        def log_prob(self, images):
            return tf.where(images[:, 0, 0, 0] > 250, value, self.weight * images[:, 1, 1, 0])

    images = random_images()
    images[:, 0, 0, 0] = 7
    images[3, 0, 0, 0] = 255
    kinds = (detectors.Typicality, detectors.DensityOfStates, detectors.ScoreTest)
    for kind in kinds:
        with pytest.raises(detectors.DetectorError, match="1 of the 50 images given to fit is NaN") as error:
            kind(Broken()).fit(images)
        assert str(error.value).startswith(kind.name)
    with pytest.raises(detectors.DetectorError, match="is NaN or infinite"):
        detectors.LikelihoodRatio(Broken(), [gaussian()]).fit(images)
    with pytest.raises(detectors.DetectorError, match="is NaN or infinite"):
        detectors.LocalIntrinsicDimension.without_models({}).fit_statistics([[value, 1.0], [0.0, 2.0]])
    detector = detectors.Likelihood(Broken()).fit(images)  # fits nothing: one score is infinite, no more
    scores = detector.score(images)
    assert scores[3] == np.inf and np.isfinite(np.delete(scores, 3)).all()


def test_case_14_what_is_fitted_before_the_statistics_is_not_spoilt():
    detector = detectors.SecondOrder(linear_flow(np.full(16, 0.3))).fit(random_images())
    assert np.isfinite(detector.score(random_images(3))).all()
