"""COPOD: the tails of an empirical copula, as a formula over fitted arrays."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

ASCENDING, SKEWNESS = "ascending", "skewness"  # names of the fitted arrays


def fitted(values: np.ndarray) -> dict[str, np.ndarray]:
    """What `score` needs, from in-distribution values `[n, S]`.

    Returns:
      `ascending` `[n, S]`, the values of each column in order; `skewness` `[S]`, the sign of its third
      central moment.
    """
    centred = values - values.mean(axis=0)
    return {ASCENDING: np.sort(values, axis=0), SKEWNESS: np.sign((centred**3).mean(axis=0))}


def score(values: tf.Tensor, arrays: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """COPOD of values `[B, S]`: how far out in the tails of the columns they are together, `[B]`, in nats.

        sum_s max(-ln u_s, -(ln l_s + ln r_s) / 2),    l_s = (1 + #{a <= v}) / (n + 1),
                                                       r_s = (1 + #{a >= v}) / (n + 1)

    u_s is the tail on the side to which a column is skewed: r_s if to the right, l_s if to the left (both,
    their logarithms added, of a column without skewness). So does the authors' package, pyod, whose scores
    of single rows these are, but that there the row itself has a part in the skewness. (The paper takes the
    largest of three sums over columns instead.)

    Args:
      values: `[B, S]`.
      arrays: As `fitted` has them.

    #### References

    [1]: Zheng Li et al. COPOD: copula-based outlier detection. ICDM 2020.
         https://arxiv.org/abs/2009.09463
    """
    ascending, sign = arrays[ASCENDING], arrays[SKEWNESS]
    count = tf.shape(ascending)[0]
    sequences, wanted = tf.transpose(ascending), tf.transpose(values)
    as_small = tf.transpose(tf.searchsorted(sequences, wanted, side="right"))
    as_large = count - tf.transpose(tf.searchsorted(sequences, wanted, side="left"))
    left, right = (_surprise(number, count, values.dtype) for number in (as_small, as_large))
    skewed = tf.where(sign <= 0, left, 0.0) + tf.where(sign >= 0, right, 0.0)
    return tf.reduce_sum(tf.maximum(skewed, 0.5 * (left + right)), axis=-1)


def _surprise(number: tf.Tensor, count: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return -tf.math.log(tf.cast(1 + number, dtype) / tf.cast(1 + count, dtype))
