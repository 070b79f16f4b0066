"""Likelihood, typicality, WAIC and likelihood ratio of normal densities, in closed form."""

import numpy as np
import pytest
import scipy.stats

from tests.detectors.models import gaussian, random_images
from tfp_flows import detectors
from tfp_flows.detectors import typicality


def test_likelihood_and_typicality_of_a_model_that_is_not_ours():
    images = random_images()
    expected = _log_normal(images, 100, 40)
    detector = detectors.Likelihood(gaussian()).fit(images)
    np.testing.assert_allclose(detector.score(images), -expected, rtol=1e-5)
    detector = detectors.Typicality(gaussian()).fit(images)
    np.testing.assert_allclose(detector.score(images), np.abs(-expected + expected.mean()), atol=2e-4)


def test_typicality_of_groups():
    log_probs = np.arange(7.0)
    np.testing.assert_allclose(typicality.group_scores(log_probs, -2.0, 3), [1.0, 2.0])  # a seventh is left
    with pytest.raises(detectors.DetectorError, match="no group of 8"):
        typicality.group_scores(log_probs, 0.0, 8)
    rng = np.random.default_rng(0)
    held_out, own, far = rng.normal(0, 1, 5000), rng.normal(0, 1, 20_000), rng.normal(1, 1, 20_000)
    for group_size in (1, 2, 10):
        rate = typicality.rejection_rate(own, held_out, 0.0, group_size, alpha=0.05)
        assert abs(rate - 0.05) < 0.015, "own images are rejected at the level of the test"
        power = typicality.rejection_rate(far, held_out, 0.0, group_size, alpha=0.05)
        z = scipy.stats.norm.ppf(0.975)
        expected = scipy.stats.norm.sf(z - group_size**0.5) + scipy.stats.norm.cdf(-z - group_size**0.5)
        assert abs(power - expected) < 0.03


def test_waic_of_gaussians():
    images = random_images()
    first, second = _log_normal(images, 100, 40), _log_normal(images, 130, 50)
    detector = detectors.WAIC([gaussian(), gaussian(130.0, 50.0)]).fit(images)
    expected = (first - second) ** 2 / 4 - (first + second) / 2
    np.testing.assert_allclose(detector.score(images), expected, rtol=1e-4)
    model = gaussian()
    for members in ([model], [model, model]):
        with pytest.raises(detectors.DetectorError, match="at least two different models"):
            detectors.WAIC(members)


def test_likelihood_ratio_chooses_its_background_by_own_images_alone():
    rng = np.random.default_rng(0)
    images = np.clip(rng.normal(100, 40, [200, 4, 4, 1]), 0, 255).astype(np.uint8)
    model, near, far = gaussian(), gaussian(100.0, 41.0), gaussian(100.0, 80.0)
    detector = detectors.LikelihoodRatio(model, [near, far]).fit(images)
    ratios = [_log_normal(images, 100, 40) - _log_normal(images, 100, s) for s in (41, 80)]
    distance = [r.mean() / r.std() for r in ratios]
    np.testing.assert_allclose(detector.fitted["distance"], distance, rtol=1e-2)
    assert detector.fitted["chosen"] == np.argmax(distance)
    np.testing.assert_allclose(detector.score(images), -ratios[np.argmax(distance)], atol=1e-3)


def _log_normal(images, loc, scale):
    return scipy.stats.norm.logpdf(images.astype(np.float64), loc, scale).sum(axis=(1, 2, 3))
