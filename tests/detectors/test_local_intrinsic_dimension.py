"""The local intrinsic dimension of a linear flow is known."""

import numpy as np
import pytest

from tests.detectors.models import HELD_OUT, gaussian, linear_flow, random_images, small_glow
from tfp_flows import detectors


def test_local_intrinsic_dimension_of_a_linear_flow():
    scales = np.r_[np.full(5, 0.3), np.full(11, 1e-3)]  # a grey level is 0.0039
    model = linear_flow(scales)
    images = random_images(4)
    exact = detectors.LocalIntrinsicDimension(model)
    np.testing.assert_array_equal(exact.statistics(images)[:, 1], 5)
    np.testing.assert_allclose(exact.statistics(images)[:, 0], model.log_prob(images))
    finer = detectors.LocalIntrinsicDimension(model, threshold=1e-4)
    np.testing.assert_array_equal(finer.statistics(images)[:, 1], 16)
    glow = detectors.LocalIntrinsicDimension(small_glow()).statistics(HELD_OUT[:4])[:, 1]
    estimated = detectors.LocalIntrinsicDimension(small_glow(), num_probes=30, num_steps=40)
    np.testing.assert_allclose(estimated.statistics(HELD_OUT[:4])[:, 1], glow, atol=2.0)
    with pytest.raises(detectors.DetectorError, match="needs a flow"):
        detectors.LocalIntrinsicDimension(gaussian())
    with pytest.raises(detectors.DetectorError, match="`num_probes` must be a positive integer"):
        detectors.LocalIntrinsicDimension(model, num_probes=0)


def test_local_intrinsic_dimension_takes_the_smaller_tail():
    detector = detectors.LocalIntrinsicDimension(linear_flow(np.full(16, 0.3)))
    fit = np.stack([np.arange(9.0), 10 + np.arange(9.0)], axis=-1)
    detector.fit_statistics(fit)
    scores = detector.score_statistics(np.array([[-1.0, 14.0], [99.0, 9.0], [4.0, 14.0]]))
    np.testing.assert_allclose(scores, -np.log([0.1, 0.1, 0.6]), rtol=1e-6)
