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


def discretized_logistic_moments(
    loc: tf.Tensor, scale: tf.Tensor, low: int = 0, high: int = 255
) -> tuple[tf.Tensor, tf.Tensor]:
    """(mean, variance) of a logistic variable that is rounded to low..high, the ends taking the tails.

        E[X - low] = sum_k P(X > k),    E[(X - low)^2] = sum_k (2 (k - low) + 1) P(X > k),
        P(X > k) = 1 / (1 + exp((k + 1/2 - loc) / scale)),    k = low..high - 1

    Summed one after the other: the memory is that of `loc`.

    Args:
      loc: Floating tensor.
      scale: Positive, of its shape.
      low: The lowest integer.
      high: The highest.

    Returns:
      Two tensors of the shape of `loc`.
    """

    def add(i: tf.Tensor, first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        k = tf.cast(i, loc.dtype)
        above = tf.sigmoid((loc - (low + k + 0.5)) / scale)
        return i + 1, first + above, second + (2.0 * k + 1.0) * above

    zeros = tf.zeros_like(loc)
    start = (tf.constant(0), zeros, zeros)
    _, first, second = tf.while_loop(lambda i, *_: i < high - low, add, start, parallel_iterations=1)
    return low + first, tf.maximum(second - first**2, 0.0)
