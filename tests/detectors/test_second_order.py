"""The second-order term of a linear flow is known."""

import numpy as np

from tests.detectors.models import linear_flow, random_images
from tfp_flows import detectors


def test_second_order_of_a_gaussian_flow():
    scales = np.linspace(0.1, 0.5, 16)
    detector = detectors.SecondOrder(linear_flow(scales))
    images = random_images(30)
    detector.fit(images)
    y = (images + 0.5) / 256
    excess = (y - y.mean(axis=0)) ** 2 - y.var(axis=0)
    terms = -0.5 * excess / scales.reshape([4, 4, 1]) ** 2
    expected = np.abs(terms.sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(detector.score(images), expected, rtol=1e-5)
    np.testing.assert_allclose(detector.score_map(images).sum(axis=(1, 2)), expected, rtol=1e-4)
