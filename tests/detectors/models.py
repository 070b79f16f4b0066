"""Models and images whose scores are known, for the tests of detectors."""

import functools

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from tfp_flows import data, testing
from tfp_flows.models import registry

tfb = tfp.bijectors
tfd = tfp.distributions
SHAPE = (8, 8, 1)
DIGITS = data.load("digits", "train").images
HELD_OUT = data.load("digits", "calibration").images


@functools.cache
def small_glow(seed=0):
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=2, hidden_channels=4)
    flow = tfp_flows.glow(config, SHAPE)
    testing.perturb(flow.bijector, seed, 0.05)
    return tfp_flows.Dequantized(flow)


@functools.cache
def small_vae():
    family = registry.family("vae")
    config = family.config_class(architecture="small", latent_size=3, likelihood="logistic")
    return family.build(config, SHAPE, family.protocol_class(num_importance_samples=4))


def gaussian(loc=100.0, scale=40.0, shape=(4, 4, 1)):
    """A plain TFP distribution: not ours, and continuous."""
    return tfd.Independent(tfd.Normal(tf.fill(shape, loc), tf.fill(shape, scale)), 3)


def random_images(n=50, shape=(4, 4, 1), seed=0):
    return np.random.default_rng(seed).integers(0, 256, [n, *shape]).astype(np.uint8)


def linear_flow(scales, loc=0.5):
    """y = loc + scale z for each pixel, float64: the singular values of dy/dz are the scales."""
    shape = [4, 4, 1]
    prior = tfd.Sample(tfd.Normal(tf.zeros([], tf.float64), tf.ones([], tf.float64)), shape)
    scales = tf.reshape(tf.constant(scales, tf.float64), shape)
    flow = tfd.TransformedDistribution(
        prior, tfb.Chain([tfb.Shift(tf.fill(shape, tf.cast(loc, tf.float64))), tfb.Scale(scales)])
    )
    return tfp_flows.Dequantized(flow)


class PixelModel(tf.Module):
    """log p and its parts by pixel."""

    dtype = tf.float32
    event_shape = tf.TensorShape([4, 4, 1])

    def __init__(self, loc):
        super().__init__()
        self.loc = loc

    def pixel_log_probs(self, images):
        return tfd.Normal(self.loc, 40.0).log_prob(images)[..., 0]

    def log_prob(self, images):
        return tf.reduce_sum(self.pixel_log_probs(images), axis=[1, 2])
