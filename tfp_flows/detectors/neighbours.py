"""How far a vector is from the nearest one of its own kind, without any model."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows.detectors import mixture

POINTS = "points"  # name of a fitted array
MOST_POINTS = 5_000
LEAST_SQUARE = 1e-12


def fit_neighbours(rows: np.ndarray) -> mixture.Arrays:
    """What `log_distance` needs of rows `[n, D]`: `loc`, `scale`, and `points` `[m, D]`, standardised.

    Of more than 5,000 rows a fixed random sample is kept.
    """
    loc, scale = mixture.standardisation(rows)
    if len(rows) > MOST_POINTS:
        rows = rows[np.random.RandomState(0).permutation(len(rows))[:MOST_POINTS]]
    return {"loc": loc, "scale": scale, POINTS: (rows - loc) / scale}


def log_distance(rows: tf.Tensor, arrays: Any) -> tf.Tensor:
    """log of the Euclidean distance to the nearest point, columns standardised: `[B, D]` -> float64 `[B]`.

    #### References

    [1]: Yiyou Sun, Yifei Ming, Xiaojin Zhu and Yixuan Li. Out-of-distribution detection with deep nearest
         neighbors. ICML 2022. https://arxiv.org/abs/2204.06507
    """
    standardised = (rows - arrays["loc"]) / arrays["scale"]
    points = tf.cast(arrays[POINTS], standardised.dtype)
    squares = tf.reduce_sum(standardised**2, axis=-1, keepdims=True) + tf.reduce_sum(points**2, axis=-1)
    squares -= 2.0 * tf.matmul(standardised, points, transpose_b=True)
    return 0.5 * tf.math.log(tf.maximum(tf.reduce_min(squares, axis=-1), LEAST_SQUARE))
