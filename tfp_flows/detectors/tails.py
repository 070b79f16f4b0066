"""How far out in the upper tail of in-distribution values a value lies, without an end."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

UPPER = 0.1  # of the values: those that the tail beyond the largest is continued by
ASCENDING, EXCESS = "ascending", "excess"  # names of the fitted arrays


def fitted(values: np.ndarray) -> dict[str, np.ndarray]:
    """What `surprise` needs, from in-distribution values `[n, S]`.

    Returns:
      `ascending` `[n, S]`, the values of each column in order; `excess` `[S]`, by how much those of the
      upper tenth pass its least one, on average.
    """
    ascending = np.sort(values, axis=0)
    upper = ascending[-max(2, round(UPPER * len(values))) :]
    excess = (upper - upper[0]).mean(axis=0)
    spread = np.maximum(1e-9 * np.abs(ascending).max(axis=0), 1e-12)  # of values that are all the same
    return {ASCENDING: ascending, EXCESS: np.maximum(excess, spread)}


def surprise(values: tf.Tensor, arrays: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """-ln of the fraction of in-distribution values that are as large: `[B, S]`, in nats.

        -ln (1 + #{a_i >= v}) / (n + 1) + max(v - a_n, 0) / excess

    a_1..a_n are the values of a column in order. Beyond the largest the tail goes on as an exponential one
    of the mean excess, so that of two values that no in-distribution one reaches the larger counts for more.

    Args:
      values: `[B, S]`.
      arrays: As `fitted` has them.
    """
    ascending = arrays[ASCENDING]
    count = tf.shape(ascending)[0]
    below = tf.searchsorted(tf.transpose(ascending), tf.transpose(values), side="left")
    fraction = tf.cast(1 + count - tf.transpose(below), values.dtype) / tf.cast(count + 1, values.dtype)
    beyond = tf.maximum(values - ascending[-1], 0.0) / arrays[EXCESS]
    return beyond - tf.math.log(fraction)
