"""Calibration: p-values that hold, and scores that overflow."""

import numpy as np
import pytest
import tensorflow as tf

from tests.detectors.models import PixelModel, gaussian, random_images
from tfp_flows import detectors
from tfp_flows.detectors import calibration
from tfp_flows.detectors.conformal import Conformal


@pytest.mark.parametrize("n", [9, 30])
@pytest.mark.parametrize("draw", ["normal", "heavy-tailed", "ties"])
def test_conformal_p_values_hold_both_sides(n, draw):
    """P(p <= alpha) <= alpha, and >= alpha - 1 / (n + 1) without ties; over 20,000 calibration sets."""
    rng = np.random.default_rng(0)
    scores = {
        "normal": lambda size: rng.standard_normal(size),
        "heavy-tailed": lambda size: rng.standard_cauchy(size),
        "ties": lambda size: rng.integers(0, 3, size).astype(float),
    }[draw]([20_000, n + 1])
    reference = tf.constant(np.sort(scores[:, 1:], axis=1))
    p = tf.vectorized_map(lambda s: calibration.p_value(s[0], s[1]), (tf.constant(scores[:, :1]), reference))
    for alpha in (0.05, 0.1, 0.2, 0.5, 0.77):
        rate = float(np.mean(p <= alpha + 1e-12))
        error = 4 * (alpha * (1 - alpha) / len(scores)) ** 0.5
        assert rate <= alpha + error, (alpha, rate)
        if draw != "ties":
            assert rate >= alpha - 1 / (n + 1) - error, (alpha, rate)


@pytest.mark.parametrize("n", [1, 5, 18, 19, 20, 99, 100, 999])
@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.07, 0.1, 0.29, 0.5, 0.95])
def test_a_score_above_the_threshold_is_a_p_value_at_or_below_the_level(n, alpha):
    """And no other, with ties too; against comparing every p-value."""
    rng = np.random.default_rng(n)
    calibrated = calibration.sorted_scores(rng.integers(0, 1 + n // 3, n))
    scores = np.concatenate([np.unique(calibrated), rng.uniform(-1, n, 50)]).astype(np.float32)
    p_values = calibration.p_value(tf.constant(scores), calibrated).numpy()
    np.testing.assert_array_equal(scores > calibration.threshold(alpha, calibrated), p_values <= alpha)
    smallest = calibration.p_value(tf.constant([np.inf], tf.float32), calibrated).numpy()
    assert calibration.attainable(alpha, n) == bool(smallest[0] <= alpha)
    needed = calibration.images_needed(alpha)
    assert calibration.attainable(alpha, needed) and not calibration.attainable(alpha, needed - 1)


def test_too_small_a_calibration_set_warns_and_bad_levels_are_refused():
    detector = detectors.Likelihood(gaussian()).calibrate(random_images(10))
    with pytest.warns(UserWarning, match="10 calibration images cannot give a p-value of 0.05.*at least 19"):
        assert not detector.predict(random_images(3)).any()
    assert detector.predict(random_images(3), alpha=0.1).shape == (3,)
    with pytest.raises(detectors.DetectorError, match="`alpha` must be in"):
        detector.predict(random_images(3), alpha=1.0)
    with pytest.raises(detectors.DetectorError, match="at least one image"):
        detector.calibrate(random_images(0))


def test_a_level_of_numpy_is_that_of_python():
    conformal = Conformal("likelihood")
    conformal.calibrate(np.arange(19.0))
    score = [19.0]  # p = 1 / 20, which in float32 is more than the 0.05 of float64
    assert conformal.predict(score, 0.05).all() and conformal.predict(score, np.float64(0.05)).all()
    almost = 0.99999999  # 1 in float32
    assert (
        conformal.predict([-1.0], almost).all() and calibration.threshold(almost, np.arange(19.0)) == -np.inf
    )


def test_a_score_that_overflows_is_foreign():
    class Overflowing(PixelModel):
        def log_prob(self, images):
            return tf.where(images[:, 0, 0, 0] > 127, np.nan, -1.0)

    images = random_images(30)
    detector = detectors.Likelihood(Overflowing(0.0)).calibrate(np.zeros([40, 4, 4, 1], np.uint8))
    assert ((detector.score(images) == np.inf) == (images[:, 0, 0, 0] > 127)).all()
    assert (detector.predict(images) == (images[:, 0, 0, 0] > 127)).all()


@pytest.mark.parametrize("count", [19, 29, 59, 99, 199, 999])
def test_p_values_of_a_graph_are_the_quotients(count):
    """TensorFlow makes a product of a division by a constant, which is not rounded as the quotient is."""
    ascending = np.arange(count, dtype=np.float32)
    compiled = tf.function(lambda scores: calibration.p_value(scores, tf.constant(ascending)))
    scores = np.arange(count + 1, dtype=np.float32)
    ranks = np.arange(count + 1, 0, -1, dtype=np.float32)
    np.testing.assert_array_equal(compiled(tf.constant(scores)), ranks / np.float32(count + 1))


def test_a_score_that_is_no_number_is_as_strange_as_can_be():
    conformal = Conformal("owner")
    conformal.calibrate([1.0, 2.0, 3.0])
    np.testing.assert_allclose(conformal.p_values([np.nan, 2.5]), [0.25, 0.5])
    conformal.calibrate([1.0, np.nan, 2.0])
    np.testing.assert_allclose(conformal.p_values([np.inf, 1.5]), [0.5, 0.75])
