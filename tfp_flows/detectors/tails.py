"""How far out a score is among those of in-distribution images, also beyond the largest of them."""

from typing import Any

import numpy as np
import tensorflow as tf

SHARE = 0.1  # of the scores, that the tail is fitted to
LEAST = 10
HEAVIEST = 0.5  # of the tail's shape; from there on its variance is infinite
ASCENDING, TAIL = "ascending", "tail"  # names of the fitted arrays


def fit_tails(scores: np.ndarray) -> dict[str, np.ndarray]:
    """What `log_tails` needs of in-distribution scores `[n, S]`, n >= 2: of each column by itself.

    Returns:
      dict of `ascending` `[n, S]`, and of `tail` `[4, S]`: (u, sigma, xi, log share beyond u) of the
      generalised Pareto distribution of what exceeds u, by its first two moments.
    """
    ascending = np.sort(np.asarray(scores, np.float64), axis=0)
    n = len(ascending)
    k = min(max(int(SHARE * n), LEAST), n // 2)
    start = ascending[n - k - 1]
    excess = ascending[n - k :] - start
    spread = np.maximum(ascending.std(axis=0), 1e-9 * (1.0 + abs(start)))
    mean, variance = np.maximum(excess.mean(axis=0), 1e-3 * spread), excess.var(axis=0)
    ratio = np.divide(mean**2, variance, out=np.ones_like(mean), where=variance > 0)
    shape = np.clip(0.5 * (1.0 - ratio), 0.0, HEAVIEST)
    beyond = np.full_like(mean, np.log((k + 1) / (n + 1)))
    return {ASCENDING: ascending, TAIL: np.stack([start, mean * (1.0 - shape), shape, beyond])}


def log_tails(scores: tf.Tensor, arrays: Any) -> tf.Tensor:
    """log of the share of in-distribution scores that are as large, by column: `[B, S]` -> float64 `[B, S]`.

        log (1 + #{s_i >= s}) / (n + 1)                          up to u
        log P(s > u) - log(1 + xi (s - u) / sigma) / xi          beyond

    u is the 90th percentile; of few scores, ten or half of them lie beyond it. The second line is the
    generalised Pareto distribution, the limit of every tail (xi = 0: exponential). It has no floor, so that
    strong evidence is not cut at 1 / (n + 1). NaN stays NaN.

    #### References

    [1]: James Pickands. Statistical inference using extreme order statistics. Annals of Statistics, 1975.
    """
    scores = tf.cast(scores, tf.float64)
    ascending = tf.transpose(arrays[ASCENDING])
    start, scale, shape, beyond = tf.unstack(tf.cast(arrays[TAIL], tf.float64))
    count = tf.shape(ascending)[1]
    below = tf.transpose(tf.searchsorted(ascending, tf.transpose(scores), side="left"))
    shares = tf.cast(tf.range(count + 1, 0, -1), tf.float64) / tf.cast(count + 1, tf.float64)
    inside = tf.gather(tf.math.log(shares), below)
    excess = tf.nn.relu(scores - start) / scale
    curved = tf.math.log1p(shape * excess) / tf.maximum(shape, 1e-6)
    outside = beyond - tf.where(shape > 1e-6, curved, excess)
    found = tf.where(scores > start, outside, inside)
    return tf.where(tf.math.is_nan(scores), scores, found)
