"""The audit of an inverse: round trips in grey levels, and the images that they fail on first."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from tfp_flows import bijectors, numerics

tfb, tfd = tfp.bijectors, tfp.distributions


class Off(tfb.Bijector):
    """z = x, and back x + 0.5 grey levels where x is above 1/2; NaN where it is above 0.9."""

    def __init__(self):
        parameters = dict(locals())
        super().__init__(forward_min_event_ndims=3, parameters=parameters, name="off")

    def _inverse(self, x):
        return tf.identity(x)

    def _forward(self, z):
        return tf.where(z > 0.9, np.nan, z + tf.where(z > 0.5, 0.5 / 256, 0.0))

    def _inverse_log_det_jacobian(self, x):
        return tf.zeros([], x.dtype)


def _images(*levels):
    return np.stack([np.full([2, 2, 1], level, np.uint8) for level in levels])


def test_what_comes_back_is_measured_in_grey_levels():
    """TFP's cache would give x back: a bijector of its own kind shows whether it is asked."""
    error = numerics.inverse_error(Off(), _images(10, 200, 255, 255))
    np.testing.assert_allclose([error.worst, error.mean], [0.5, 0.25], rtol=1e-4)
    assert (error.not_finite, error.n, error.share_not_finite) == (2, 4, 0.5)
    assert str(error) == "0.5, 2 of 4 not finite"
    assert str(numerics.inverse_error(Off(), _images(255))) == "1 of 1 not finite"


def test_a_distribution_and_a_density_over_images():
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), [2, 2, 1]), Off())
    found = [numerics.inverse_error(given, _images(0, 130)) for given in (flow, tfp_flows.Dequantized(flow))]
    np.testing.assert_allclose([error.worst for error in found], 0.5, rtol=1e-4)
    found = numerics.inverse_error(flow, tf.constant([[0.55], [0.1]], shape=[2, 1, 1, 1]))
    np.testing.assert_allclose([found.worst, found.mean], [0.5, 0.25], rtol=1e-4)


def test_conditions_reach_the_bijector():
    glow = bijectors.Glow((4, 4, 1), 1, 1, hidden_channels=4, condition_channels=3)
    assert numerics.inverse_error(glow, np.zeros([2, 4, 4, 1]), condition=tf.ones([3])).worst < 1e-3


def test_batches_change_nothing():
    y = np.random.default_rng(0).uniform(size=[130, 2, 2, 1]).astype(np.float32)
    whole = numerics.inverse_error(Off(), y)
    parts = [numerics.inverse_error(Off(), y[i : i + 1]) for i in range(len(y))]
    assert whole.not_finite == sum(part.not_finite for part in parts) > 10
    assert whole.worst == np.nanmax([part.worst for part in parts])
    np.testing.assert_allclose(whole.mean, np.nanmean([part.mean for part in parts]), rtol=1e-6)


@pytest.mark.parametrize(("flow", "images"), [(3, _images(0)), (Off(), np.zeros([0, 2, 2, 1]))])
def test_what_cannot_be_measured(flow, images):
    with pytest.raises(ValueError, match="inverse_error: "):
        numerics.inverse_error(flow, images)


def test_extreme_images():
    photo = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    found = numerics.extreme_images((4, 4, 3), photo)
    assert len(found) == 9
    assert all(image.shape == (4, 4, 3) and image.dtype == np.uint8 for image in found.values())
    means = {name: found[name].mean() / 255 for name in list(found)[:7]}
    assert means == {
        "black": 0,
        "white": 1,
        "checkerboard": 0.5,
        "checkerboard of 2": 0.5,
        "stripes": 0.5,
        "bright pixel": 1 / 16,
        "colour checkerboard": 0.5,
    }
    board, coarse, _, _, coloured = list(found.values())[2:7]
    assert (board[1:] != board[:-1]).all() and (board[:, 1:] != board[:, :-1]).all()
    np.testing.assert_array_equal(coarse, np.kron(board[:2, :2, 0], np.ones([2, 2]))[..., None] + 0 * board)
    assert (coloured[..., 1:] != coloured[..., :-1]).all() and (coloured[1:] != coloured[:-1]).all()
    np.testing.assert_array_equal(found["stripes"][0, :, 0], [0, 255, 0, 255])
    np.testing.assert_array_equal(found["upside down"], photo[::-1])
    assert list(numerics.extreme_images((4, 4, 1)))[-2:] == ["bright pixel", "noise"]
