"""Input complexity: bits on both sides, and codecs that lose nothing."""

import imagecodecs
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.detectors.models import random_images
from tfp_flows import detectors
from tfp_flows.detectors import input_complexity

tfd = tfp.distributions


def test_input_complexity_is_in_bits_on_both_sides():
    """Under the uniform model an incompressible image has a score near 0: L is about 8 bits for each "
    "value."""
    shape = (32, 32, 3)
    uniform = tfd.Independent(tfd.Uniform(tf.zeros(shape), tf.fill(shape, 256.0)), 3)
    noise, constant = random_images(2, shape), np.full([2, *shape], 7, np.uint8)
    for compressor in input_complexity.COMPRESSORS:
        detector = detectors.InputComplexity(uniform, compressor)
        bits = 8 * noise[0].size
        assert (np.abs(detector.score(noise)) < 0.25 * bits).all(), compressor
        assert (detector.score(constant) > 0.9 * bits).all(), compressor
        lengths = detector.statistics(noise)[:, 1:].min(axis=1)
        np.testing.assert_allclose(detector.score(noise), 8 * 3072 - lengths, rtol=1e-4, atol=0.1)
    with pytest.raises(detectors.DetectorError, match="must be one of png, jpegls"):
        detectors.InputComplexity(uniform, "gif")


@pytest.mark.parametrize("codec", input_complexity.CODECS)
@pytest.mark.parametrize("channels", [1, 3])
def test_codecs_lose_nothing(codec, channels):
    image = random_images(1, (16, 12, channels))[0].squeeze()
    function, arguments = input_complexity.CODECS[codec]
    encoded = getattr(imagecodecs, function)(image, **arguments)
    np.testing.assert_array_equal(getattr(imagecodecs, function.replace("encode", "decode"))(encoded), image)
