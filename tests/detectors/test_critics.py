"""Critics tell digits from noise."""

import numpy as np

from tests.detectors.models import DIGITS, HELD_OUT, SHAPE, random_images
from tfp_flows import detectors


def test_critics_tell_digits_from_noise_and_repeat_themselves():
    small = dict(num_members=2, num_steps=40, width=8, batch_images=32)
    detector = detectors.Critics(SHAPE, **small).fit(DIGITS)
    own, noise = detector.score(HELD_OUT), detector.score(random_images(60, SHAPE))
    assert np.mean(own[:, np.newaxis] < noise) > 0.8
    again = detectors.Critics(SHAPE, **small).fit(DIGITS)
    np.testing.assert_array_equal(again.score(HELD_OUT), own)
    other = detectors.Critics(SHAPE, **small, seed=1).fit(DIGITS)
    assert (other.score(HELD_OUT) != own).any()
    statistics = detector.statistics(HELD_OUT)
    standardised = (statistics - detector.fitted["loc"]) / detector.fitted["scale"]
    np.testing.assert_allclose(
        own, standardised.var(axis=1) - standardised.mean(axis=1), rtol=1e-4, atol=1e-5
    )
