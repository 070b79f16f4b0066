"""Scalar distributions of a flow's latent, drawn with this package's noise (`tfp_flows.numerics.noise`).

TFP draws the same distributions with other noise in graphs and under XLA, and can draw no part of a batch
without the rest. Here a seed gives the same latents everywhere, up to rounding, and may be a part's
(`Seed.part`).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError
from tfp_flows.numerics import noise


class _ByQuantile:
    """Draws x = F^-1(u), with u uniform in (0, 1), a multiple of half of `noise.uniform`'s smallest step.

    In half precision of float32's: few of its own u are near 0, and would stand for all of them.
    """

    def _sample_n(self, n, seed=None):
        of_draws = tf.float64 if self.dtype == tf.float64 else tf.float32
        half_a_step = 2.0**-53 if of_draws == tf.float64 else 2.0**-24
        shape = tf.concat([[n], self.batch_shape_tensor()], 0)
        u = noise.uniform(shape, seed, of_draws) + half_a_step
        if of_draws == self.dtype:
            return self.quantile(u)
        wide = type(self)(tf.cast(self.loc, of_draws), tf.cast(self.scale, of_draws))
        return tf.cast(wide.quantile(u), self.dtype)


class Normal(tfd.Normal):
    """`tfd.Normal`: x = loc + scale * eps."""

    def _sample_n(self, n, seed=None):
        shape = tf.concat([[n], self.batch_shape_tensor()], 0)
        return self.loc + self.scale * noise.normal(shape, seed, self.dtype)


class Laplace(_ByQuantile, tfd.Laplace):
    """`tfd.Laplace`, drawn by its quantile function."""


class Logistic(_ByQuantile, tfd.Logistic):
    """`tfd.Logistic`, drawn by its quantile function."""


class StudentT(tfd.StudentT):
    """`tfd.StudentT`, drawn in any graph without rejections, whatever its degrees of freedom [1].

        x = loc + scale * sqrt(df * (u^(-2 / df) - 1)) * cos(2 pi v),    u, v uniform

    #### References

    [1]: Ralph Bailey. Polar generation of random variates with the t-distribution. Mathematics of
         Computation 62, 1994.
    """

    def _sample_n(self, n, seed=None):
        shape = tf.concat([[n], self.batch_shape_tensor(), [2]], 0)
        u, v = tf.unstack(noise.uniform(shape, seed, self.dtype), axis=-1)
        df = tf.convert_to_tensor(self.df)
        squared = df * tf.math.expm1(-2.0 / df * tf.math.log1p(-u))  # of 1 - u, which is not 0
        return self.loc + self.scale * tf.sqrt(squared) * tf.cos(2.0 * math.pi * v)


CLASSES = {"normal": Normal, "laplace": Laplace, "logistic": Logistic}


def learned(name: str, groups: np.ndarray, scale: float, dtype: tf.DType) -> tfd.Independent:
    """A prior whose location and scale are trained: one pair for each group of latent dimensions.

        loc = location[group],    scale = scale * exp(log_scale[group]),    both 0 at the start

    Args:
      name: Key of `CLASSES`.
      groups: Integer array of the event's shape; -1 where location and scale stay 0 and `scale`.
      scale: Positive `float`.
      dtype: Floating dtype.

    Returns:
      `tfd.Independent`, event shape that of `groups`, with two variables `[number of groups]`.
    """
    zeros = tf.zeros([int(groups.max()) + 1], dtype)
    index = np.where(groups < 0, len(zeros), groups)

    def spread(value: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.concat([value, tf.zeros([1], dtype)], 0), index)

    def deferred(name: str, function: Callable[[tf.Tensor], tf.Tensor]) -> tfp.util.DeferredTensor:
        return tfp.util.DeferredTensor(tf.Variable(zeros, name=name), function, dtype, groups.shape)

    location = deferred("prior_location", spread)
    scales = deferred("prior_log_scale", lambda value: scale * tf.exp(spread(value)))
    return tfd.Independent(CLASSES[name](location, scales), groups.ndim)


def over(prior: tfd.Distribution, event_shape: Sequence[int], dtype: tf.DType) -> tfd.Distribution:
    """`prior` as a distribution over one latent of `event_shape`.

    Args:
      prior: `tfd.Distribution` of scalars: one, independent everywhere; or a batch of them, for the
        channels or for each dimension: batch shape `[]`, `event_shape[-1:]` or `event_shape`. Or one
        whose event has this shape already.
      event_shape: Shape of the latent.
      dtype: Its floating dtype.

    Raises:
      ValueError: If it is none of these, or of another dtype.
    """
    if not isinstance(prior, tfd.Distribution):
        raise UserError(f"`prior` must be a tfd.Distribution, got {prior!r}.")
    if prior.dtype != dtype:
        raise UserError(
            f"`prior` must have dtype {tf.as_dtype(dtype).name}, got {prior.name} of {prior.dtype.name}."
        )
    event_shape = list(event_shape)
    batch, event = prior.batch_shape, prior.event_shape
    if event == event_shape and batch == []:
        return prior
    if event == []:
        if batch == []:
            return tfd.Sample(prior, event_shape)
        if batch == event_shape[-1:]:
            return tfd.Sample(tfd.Independent(prior, 1), event_shape[:-1])
        if batch == event_shape:
            return tfd.Independent(prior, len(event_shape))
    raise UserError(
        f"`prior` must be scalar with batch shape (), {tuple(event_shape[-1:])} or {tuple(event_shape)}, or "
        f"have event shape {tuple(event_shape)} and batch shape (); got {prior.name} with batch shape "
        f"{tuple(batch)} and event shape {tuple(event)}."
    )
