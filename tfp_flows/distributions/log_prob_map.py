"""The log-probability of an image under a flow, by the pixels that its terms come from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_flows import bijectors
from tfp_flows.distributions.terms import dequantization_term
from tfp_flows.numerics import positions

# What tfd.Independent(...) and tfd.Sample(...) return, whatever their members are.
_REPEATING: tuple[type, ...] = (tfd.Independent.__bases__[0], tfd.Sample.__bases__[0])


def shares_of_flow(flow: tfd.Distribution, y: tf.Tensor, **conditions: Any) -> tf.Tensor:
    """The share of each pixel in log P(x), by level, of one draw of the noise, from one pass of the flow.

        log P(x) ~ sum_hwl m_hwl,    m_hwl = log p_Z(z_l)_hw + log|det|_hwl - [l = 0] C ln 256

    Both terms come from positions. A latent position of level l covers a block of 2^(l+1) x 2^(l+1) pixels,
    over which it is spread evenly; so are the log-scales of a coupling at that level. See
    `bijectors.inverse_by_position`. What a position of the latent depends on is larger than its block: the
    networks look at their neighbourhood, and the shares of a changed pixel's neighbours change a little too.

    Args:
      flow: `tfd.TransformedDistribution` of batch shape `[]` over `[H, W, C]`.
      y: Dequantised images `[B, H, W, C]` of its dtype.
      **conditions: Keyword arguments of the flow's bijector.

    Returns:
      `[B, H, W, L]`, nats; L = 1 of a flow that tells no levels apart.
    """
    z, log_det = bijectors.inverse_by_position(flow.bijector, y, **conditions)
    height, width, channels = flow.event_shape
    shares = positions.added(log_det, _shares_of_latent(flow, z, (height, width)))
    first = tf.one_hot(0, shares.shape[-1], dtype=shares.dtype)
    return shares + dequantization_term(channels) * first


def _shares_of_latent(flow: tfd.Distribution, z: tf.Tensor, size: Sequence[int]) -> tf.Tensor:
    """log p_Z(z) by pixel of the image and level `[B, H, W, L]`."""
    by_dimension = _log_prob_by_dimension(flow.distribution, z)
    if by_dimension is None:
        return positions.evenly(flow.distribution.log_prob(z), size)
    levels = _levels(flow.bijector)
    if levels is None:
        return positions.resampled(tf.reduce_sum(by_dimension, axis=-1, keepdims=True), size)
    found = []
    for level in range(int(np.max(levels)) + 1):
        own = tf.where(levels == level, by_dimension, tf.zeros([], z.dtype))
        blocks = [side >> (level + 1) for side in size]
        by_block = positions.resampled(tf.reduce_sum(own, axis=-1, keepdims=True), blocks)
        found.append(positions.resampled(by_block, size))
    return tf.concat(found, axis=-1)


def _levels(bijector: tfb.Bijector) -> np.ndarray | None:
    """The level of each dimension of the latent of a `bijectors.Glow`; None of any other."""
    return bijector.latent_levels if isinstance(bijector, bijectors.Glow) else None


def _log_prob_by_dimension(prior: tfd.Distribution, z: tf.Tensor) -> tf.Tensor | None:
    """log p of each dimension of z, in its shape; None where the prior is no product of scalar ones."""
    event_shape = prior.event_shape
    while isinstance(prior, _REPEATING):
        prior = prior.distribution  # type: ignore[attr-defined]
    own = prior.batch_shape
    if prior.event_shape != [] or len(own) > len(event_shape):
        return None
    aligned = [1] * (len(event_shape) - len(own)) + own.as_list()
    fits = all(size in (1, whole) for size, whole in zip(aligned, event_shape, strict=True))
    return prior.log_prob(z) if fits else None
