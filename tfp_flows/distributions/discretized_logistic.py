"""The logistic distribution on integers, computed so that no probability is lost to rounding."""

import tensorflow as tf


def discretized_logistic_log_prob(
    x: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor, low: float = 0.0, high: float = 255.0
) -> tf.Tensor:
    """log of the probability that a logistic variable rounds to x; the ends take the tails.

        P(x) = F(b) - F(a),    a = (x - 1/2 - loc) / scale,    b = (x + 1/2 - loc) / scale
        P(low) = F(b),    P(high) = 1 - F(a),    F the logistic function

    Between the ends, with b - a = 1 / scale, this is the product F(b) (1 - F(a)) (1 - exp(-1 / scale)),
    whose logarithm has no cancellation: -softplus(-b) - softplus(a) + log(1 - exp(-1 / scale)). The sum over
    low..high is 1.

    Args:
      x: Integers low..high, floating.
      loc: Floating tensor that broadcasts against x, in the units of x.
      scale: Positive, likewise.
      low: The lowest integer.
      high: The highest.

    Returns:
      Nats, of the broadcast shape.

    Source: Salimans et al. 2017, PixelCNN++, equation 2 (https://arxiv.org/abs/1701.05517).
    """
    inverse_scale = 1.0 / scale
    centred = x - loc
    log_below = -tf.nn.softplus(-(centred + 0.5) * inverse_scale)
    log_above = -tf.nn.softplus((centred - 0.5) * inverse_scale)
    zero = tf.zeros_like(log_below)
    is_low, is_high = x <= low, x >= high
    width = tf.where(is_low | is_high, zero, tf.math.log(-tf.math.expm1(-inverse_scale)))
    return tf.where(is_high, zero, log_below) + tf.where(is_low, zero, log_above) + width
