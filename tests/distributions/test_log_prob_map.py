"""The shares of pixels in log p: they sum to it, and stand where they come from."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from tests.detectors.models import linear_flow
from tfp_flows import bijectors, testing
from tfp_flows.numerics import positions

tfb, tfd = tfp.bijectors, tfp.distributions
SHAPE = (8, 8, 2)
IMAGES = np.random.default_rng(0).integers(0, 256, [3, *SHAPE]).astype(np.uint8)
FLOAT64 = {"levels": 2, "steps_per_level": 2, "hidden_channels": 6, "dtype": "float64"}


class OfEachPixel(tf.Module):
    """A coupling's network that looks at one position alone."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        rng = np.random.default_rng(in_channels)
        self.weight = tf.Variable(0.3 * rng.standard_normal([in_channels, out_channels]))

    def __call__(self, x):
        return tf.tanh(tf.einsum("...i,ij->...j", x, self.weight))


def of_glow(settings, **dequantized):
    flow = tfp_flows.glow(tfp_flows.GlowConfig(**FLOAT64 | settings), SHAPE)
    testing.perturb(flow.bijector, 0, 0.1)
    return tfp_flows.Dequantized(flow, **dequantized)


@pytest.mark.parametrize(
    ("settings", "dequantized"),
    [
        ({}, {}),
        ({"coupling": "additive"}, {"num_samples": 3}),
        ({"factor_out": "none"}, {"num_samples": 3, "bound": "importance"}),
        ({"learned_prior": True, "shift_first": True, "reversible": True}, {}),
    ],
)
def test_shares_sum_to_log_prob(settings, dequantized):
    model = of_glow(settings, **dequantized)
    shares = model.log_prob_shares(IMAGES)
    assert shares.shape == (3, 8, 8, 2)
    np.testing.assert_allclose(tf.reduce_sum(shares, [1, 2, 3]), model.log_prob(IMAGES), rtol=1e-12)
    np.testing.assert_allclose(model.log_prob_map(IMAGES), tf.reduce_sum(shares, -1), rtol=1e-12)
    function = tf.function(model.log_prob_shares, input_signature=[tf.TensorSpec([None, *SHAPE], tf.uint8)])
    assert function.get_concrete_function().structured_outputs.shape.as_list() == [None, 8, 8, 2]
    np.testing.assert_allclose(function(IMAGES), shares, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("coupling", ["affine", "additive"])
def test_the_shares_of_a_block_are_its_own_density(coupling):
    """With networks of single positions a two-level Glow is a product over blocks of 4 x 4 pixels.

    So the shares of a block are log p(z) of its latents and log|det| of its part of the Jacobian.
    """
    networks = {"network": OfEachPixel, "factor_out_network": OfEachPixel}
    glow = bijectors.Glow(SHAPE, 2, 2, coupling=coupling, dtype=tf.float64, **networks)
    testing.perturb(glow, 0, 0.1)
    base = tfd.Sample(tfd.Normal(tf.zeros([], tf.float64), 1.0), SHAPE)
    model = tfp_flows.Dequantized(tfd.TransformedDistribution(base, glow))
    y = model.dequantized(IMAGES[:1])
    with tf.GradientTape() as tape:
        tape.watch(y)
        z = model.flow.bijector.inverse(tf.identity(y))
    jacobian = tape.jacobian(z, y)[0, :, :, :, 0].numpy()  # [8, 8, 2, 8, 8, 2]
    prior = tfd.Normal(tf.zeros([], tf.float64), 1.0).log_prob(z[0]).numpy()
    found = model.log_prob_map(IMAGES[:1])[0].numpy()
    for row, column in np.ndindex(2, 2):
        block = np.s_[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        outside = jacobian[block].copy()
        outside[(*np.s_[:, :, :], *block)] = 0.0
        assert not outside.any()
        own = jacobian[(*block, slice(None), *block)].reshape([32, 32])
        expected = prior[block].sum() + np.linalg.slogdet(own)[1] - 32 * np.log(256)
        np.testing.assert_allclose(found[block].sum(), expected, rtol=1e-10)


def test_a_linear_flow_has_the_density_of_each_pixel():
    scales = np.linspace(0.1, 0.4, 16)
    model = linear_flow(scales)
    images = IMAGES[:, :4, :4, :1]
    y = model.dequantized(images).numpy()[..., 0].reshape([3, 16])
    expected = -0.5 * ((y - 0.5) / scales) ** 2 - 0.5 * np.log(2 * np.pi) - np.log(scales) - np.log(256)
    found = model.log_prob_map(images).numpy().reshape([3, 16])
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    squeeze = bijectors.Squeeze()
    fused = bijectors.FusedChain([squeeze, tfb.Invert(squeeze), *model.flow.bijector.bijectors])
    flow = tfd.TransformedDistribution(model.flow.distribution, fused)
    np.testing.assert_allclose(
        tfp_flows.Dequantized(flow).log_prob_map(images).numpy().reshape([3, 16]), expected, rtol=1e-10
    )


def test_positions_keep_the_sum():
    values = tf.constant(np.random.default_rng(0).standard_normal([2, 4, 6, 3]))
    for size in ((8, 12), (2, 3), (8, 3), (1, 1), (3, 6), (4, 6)):
        found = positions.resampled(values, size)
        assert found.shape == (2, *size, 3)
        np.testing.assert_allclose(tf.reduce_sum(found, [1, 2]), tf.reduce_sum(values, [1, 2]))
    doubled = positions.resampled(values, (8, 12)).numpy()
    np.testing.assert_allclose(doubled[:, 2:4, 4:6], np.tile(values[:, 1:2, 2:3] / 4, [1, 2, 2, 1]))
    halved = positions.resampled(values, (2, 3)).numpy()
    np.testing.assert_allclose(halved[:, 1, 2], values.numpy()[:, 2:, 4:].sum((1, 2)))


def test_a_prior_that_is_no_product_is_spread_evenly():
    correlated = tfd.MultivariateNormalTriL(tf.zeros([16], tf.float64), tf.eye(16, dtype=tf.float64) * 0.5)
    prior = tfd.TransformedDistribution(correlated, tfb.Reshape([4, 4, 1]))
    model = tfp_flows.Dequantized(
        tfd.TransformedDistribution(prior, tfb.Shift(tf.zeros([4, 4, 1], tf.float64)))
    )
    images = IMAGES[:, :4, :4, :1]
    found = model.log_prob_map(images).numpy()
    np.testing.assert_allclose(found.sum((1, 2)), model.log_prob(images), rtol=1e-12)
    assert np.ptp(found[0]) < 1e-9
