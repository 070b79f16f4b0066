"""How far out a score is among those of in-distribution images, also beyond the largest of them."""

from typing import Any

import numpy as np
import tensorflow as tf

SHARE = 0.1  # of the scores, that the tail is fitted to
LEAST = 10
HEAVIEST = 0.5  # of the tail's shape; from there on its variance is infinite


def fit_tail(scores: np.ndarray) -> dict[str, np.ndarray]:
    """What `log_tail` needs of in-distribution scores `[n]`, n >= 2.

    Returns:
      dict of `ascending` `[n]`, and of `tail` `[4]`: (u, sigma, xi, log share beyond u) of the generalised
      Pareto distribution of what exceeds u, by its first two moments.
    """
    ascending = np.sort(np.asarray(scores, np.float64))
    n = len(ascending)
    k = min(max(int(SHARE * n), LEAST), n // 2)
    start = ascending[n - k - 1]
    excess = ascending[n - k :] - start
    mean, variance = float(excess.mean()), float(excess.var())
    spread = max(float(ascending.std()), 1e-9)
    mean = max(mean, 1e-3 * spread)
    ratio = mean**2 / variance if variance > 0 else 1.0
    shape = float(np.clip(0.5 * (1.0 - ratio), 0.0, HEAVIEST))
    return {
        "ascending": ascending,
        "tail": np.array([start, mean * (1.0 - shape), shape, np.log((k + 1) / (n + 1))]),
    }


def log_tail(scores: tf.Tensor, arrays: Any) -> tf.Tensor:
    """log of the share of in-distribution scores that are as large: float64 `[B]`.

        log (1 + #{s_i >= s}) / (n + 1)                          up to u
        log P(s > u) - log(1 + xi (s - u) / sigma) / xi          beyond

    u is the 90th percentile. The second line is the generalised Pareto distribution, the limit of every
    tail (xi = 0: exponential). It has no floor, so that strong evidence is not cut at 1 / (n + 1).

    #### References

    [1]: James Pickands. Statistical inference using extreme order statistics. Annals of Statistics, 1975.
    """
    ascending = arrays["ascending"]
    start, scale, shape, beyond = tf.unstack(tf.cast(arrays["tail"], tf.float64))
    count = tf.shape(ascending)[0]
    at_least = count - tf.searchsorted(ascending, scores, side="left")
    inside = tf.math.log(tf.cast(1 + at_least, tf.float64) / tf.cast(count + 1, tf.float64))
    excess = tf.nn.relu(scores - start) / scale
    curved = tf.math.log1p(shape * excess) / tf.maximum(shape, 1e-6)
    outside = beyond - tf.where(shape > 1e-6, curved, excess)
    return tf.where(scores > start, tf.minimum(outside, beyond), inside)
