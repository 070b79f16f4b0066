"""Scalar distributions of a flow's latent, drawn with this package's noise (`tfp_flows.numerics.noise`).

TFP draws the same distributions with other noise in graphs and under XLA, and can draw no part of a batch
without the rest. Here a seed gives the same latents everywhere, up to rounding, and may be a part's
(`Seed.part`).
"""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows.numerics import noise

tfd = tfp.distributions


class _ByQuantile:
    """Draws x = F^-1(u), with u uniform in (0, 1), a multiple of half of `noise.uniform`'s smallest step."""

    def _sample_n(self, n, seed=None):
        half_a_step = 2.0**-53 if self.dtype == tf.float64 else 2.0**-24
        shape = tf.concat([[n], self.batch_shape_tensor()], 0)
        return self.quantile(noise.uniform(shape, seed, self.dtype) + half_a_step)


class Normal(tfd.Normal):
    """`tfd.Normal`: x = loc + scale * eps."""

    def _sample_n(self, n, seed=None):
        shape = tf.concat([[n], self.batch_shape_tensor()], 0)
        return self.loc + self.scale * noise.normal(shape, seed, self.dtype)


class Laplace(_ByQuantile, tfd.Laplace):
    """`tfd.Laplace`, drawn by its quantile function."""


class Logistic(_ByQuantile, tfd.Logistic):
    """`tfd.Logistic`, drawn by its quantile function."""


CLASSES = {"normal": Normal, "laplace": Laplace, "logistic": Logistic}
