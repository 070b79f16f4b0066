"""Maps of pixels: they sum to the score where it is a sum, and find a patch that was pasted in."""

import numpy as np
import pytest
import tensorflow as tf

from tests.detectors.models import DIGITS, PixelModel, gaussian, random_images, small_glow
from tfp_flows import detectors
from tfp_flows.detectors import surprise


def test_maps_sum_to_the_score():
    images = random_images(5)
    one, two = PixelModel(90.0), PixelModel(150.0)
    for detector in (detectors.Likelihood(one), detectors.LikelihoodRatio(one, [two])):
        maps = detector.fit(images).score_map(images)
        assert maps.shape == (5, 4, 4) and maps.dtype == np.float32
        np.testing.assert_allclose(maps.sum(axis=(1, 2)), detector.score(images), rtol=1e-4)
    assert detectors.WAIC([one, two]).score_map(images).shape == (5, 4, 4)
    with pytest.raises(detectors.DetectorError, match="no map of pixels for Independent"):
        detectors.Likelihood(gaussian()).score_map(images)
    with pytest.raises(detectors.DetectorError, match="no map of pixels"):
        detectors.ScoreTest(small_glow()).score_map(DIGITS[:3])
    complexity = detectors.InputComplexity(one)
    bits = -one.log_prob(images.astype(np.float32)).numpy() / np.log(2)
    np.testing.assert_allclose(complexity.score_map(images).sum(axis=(1, 2)), bits, rtol=1e-5)


def test_the_map_of_a_glow_sums_to_its_score():
    detector = detectors.Likelihood(small_glow())
    maps = detector.score_map(DIGITS[:5])
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), detector.score(DIGITS[:5]), rtol=1e-5)


@pytest.mark.parametrize("grey", [0, 255])
def test_a_two_sided_map_marks_what_is_likelier_and_what_is_less_likely(grey):
    """The data's grey levels are 60 to 140; a patch outside is unlikely, or the likeliest."""
    images = np.random.default_rng(0).integers(60, 140, [80, 4, 4, 1]).astype(np.uint8)
    likeliest_at = PixelModel(100.0 if grey else 0.0)  # of the second the patch is likelier than all data
    detector = detectors.Typicality(likeliest_at).fit(images)
    patched = images[:9].copy()
    patched[:, 1:3, 1:3] = grey
    maps = detector.score_map(patched)
    inside = np.zeros([4, 4], bool)
    inside[1:3, 1:3] = True
    assert maps[:, inside].min() > maps[:, ~inside].max()


def test_surprise_is_the_log_density_below_its_mode():
    """Of a normal share: map(m) = (m - mean)^2 / (2 s^2), up to the width of the kernels."""
    rng = np.random.default_rng(0)
    shares = 3.0 + 2.0 * rng.standard_normal([512, 16, 16, 1])
    arrays = {name: tf.constant(value) for name, value in surprise.fitted(shares).items()}
    values = np.linspace(-3.0, 9.0, 49)
    found = surprise.of_shares(tf.constant(values.reshape([1, 7, 7, 1])), arrays).numpy().ravel()
    wide = 2.0**2 * (1 + 512 ** (-2 / 5))
    np.testing.assert_allclose(found, (values - 3.0) ** 2 / (2 * wide), atol=0.08)
    far = tf.constant([-1e4, -1e3, 1e3, 1e4], tf.float64)[:, None, None, None]
    far = surprise.of_shares(far, arrays).numpy().ravel()
    assert np.isfinite(far).all() and far[0] > far[1] > 50 and far[3] > far[2] > 50
    two = {name: tf.constant(v) for name, v in surprise.fitted(np.concatenate([shares, shares], -1)).items()}
    both = surprise.of_shares(tf.constant(np.stack([values, values], -1).reshape([1, 7, 7, 2])), two)
    np.testing.assert_allclose(both.numpy().ravel(), 2 * found, rtol=1e-6)


def test_a_map_says_what_it_lacks():
    images = random_images(20)
    statistics = detectors.Typicality(PixelModel(90.0)).statistics(images)
    detector = detectors.Typicality(PixelModel(90.0)).fit_statistics(statistics)
    with pytest.raises(detectors.DetectorError, match="fit it again, to images"):
        detector.score_map(images)
    with pytest.raises(detectors.DetectorError, match="call fit first"):
        detectors.Typicality(PixelModel(90.0)).score_map(images)
