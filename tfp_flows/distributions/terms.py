"""The terms of log P of an integer image under a flow over dequantised ones."""

import math
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.numerics.quantization import NUM_LEVELS


class LogProbTerms(NamedTuple):
    """log P(x) from one draw u of the noise, in its terms, each `[B]`, in nats; their sum is log P(x).

        log P(x) ~ log p_Z(z) + log|det dz/dy| - D ln 256 - log q(u | x)

    with z = bijector.inverse(y) and y = (x + u) / 256.

    Attributes:
      log_prob_z: log p_Z(z), of the latent.
      log_det: log|det dz/dy|, the volume term.
      dequantization: -D ln 256 - log q(u | x). With uniform noise log q = 0, and it is the same for all
        images of a shape.
    """

    log_prob_z: tf.Tensor
    log_det: tf.Tensor
    dequantization: tf.Tensor


def dequantization_term(num_dimensions: int) -> float:
    """-D ln 256: what separates log P(x) of a grey level from log p(y) of the unit interval's density.

        P(x) = integral of p over [x / 256, (x + 1) / 256)^D  ~  256^-D p((x + u) / 256)

    Args:
      num_dimensions: D = H * W * C.

    Returns:
      Nats.
    """
    return -num_dimensions * math.log(NUM_LEVELS)


def terms_of_flow(flow: tfd.Distribution, y: tf.Tensor, **conditions: Any) -> LogProbTerms:
    """`LogProbTerms` of dequantised images, from one pass through the flow.

    Args:
      flow: `tfd.TransformedDistribution` of batch shape `[]` over `[H, W, C]`.
      y: Dequantised images `[B, H, W, C]` of its dtype.
      **conditions: Keyword arguments of the flow's bijector.
    """
    # As flow.log_prob does it: the log-determinant at z is known from the evaluation that gave z.
    z = flow.bijector.inverse(y, **conditions)
    log_prob_z = flow.distribution.log_prob(z)
    event_ndims = len(flow.event_shape)
    log_det = -flow.bijector.forward_log_det_jacobian(z, event_ndims=event_ndims, **conditions)
    batch = tf.shape(log_prob_z)
    constant = tf.constant(dequantization_term(flow.event_shape.num_elements()), log_prob_z.dtype)
    # A constant volume is a scalar.
    return LogProbTerms(log_prob_z, tf.broadcast_to(log_det, batch), tf.fill(batch, constant))
