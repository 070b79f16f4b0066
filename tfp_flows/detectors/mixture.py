"""Densities of statistics: mixtures of normal distributions, fitted by scikit-learn, evaluated anywhere."""

import warnings
from typing import Any

import numpy as np
import tensorflow as tf

Arrays = dict[str, np.ndarray]
LEAST_VARIANCE = 1e-3  # of a component, added to that of standardised statistics
LOG_2PI = float(np.log(2.0 * np.pi))


def fit_mixture(rows: np.ndarray, num_components: int, least_variance: float = LEAST_VARIANCE) -> Arrays:
    """A mixture of normal distributions with full covariances, by expectation maximisation from seed 0.

    Args:
      rows: `[n, d]`.
      num_components: At most n; there are no more than distinct rows.
      least_variance: Added to a component's variances.

    Returns:
      dict of `loc`, `scale` `[d]`, what rows are standardised by (a constant column has scale 1), and
      of the mixture of standardised rows: `log_weights` `[K]`, `means` `[K, d]`, `precisions` `[K, d, d]`,
      the matrices that whiten a component.
    """
    import sklearn.exceptions  # here, as it is slow to import, and what is fitted does without
    import sklearn.mixture
    import threadpoolctl

    loc, scale = standardisation(rows)
    standardised = (rows - loc) / scale
    distinct = len(np.unique(standardised, axis=0))
    mixture = sklearn.mixture.GaussianMixture(
        min(num_components, distinct), reg_covar=least_variance, random_state=0
    )
    # The matrices are small: threads of linear algebra would wait for each other, for most of the time.
    with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
        # A mixture that could still be a little better is a density all the same.
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
        mixture.fit(standardised)
    return _arrays(loc, scale, mixture.weights_, mixture.means_, mixture.precisions_cholesky_)


def fit_normal(rows: np.ndarray) -> Arrays:
    """One normal distribution with Ledoit and Wolf's covariance, for rows that are few; as `fit_mixture`."""
    import sklearn.covariance

    loc, scale = standardisation(rows)
    covariance = sklearn.covariance.ledoit_wolf((rows - loc) / scale, assume_centered=True)[0]
    covariance += LEAST_VARIANCE * np.eye(len(covariance))
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T
    return _arrays(loc, scale, np.ones([1]), np.zeros([1, len(loc)]), whitening[np.newaxis])


def standardisation(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(means, standard deviations) of the columns `[d]`; 1 where a column is constant."""
    loc, scale = rows.mean(axis=0), rows.std(axis=0)
    return loc, np.where(scale > 1e-9 * (1.0 + abs(loc)), scale, 1.0)


def surprise(rows: tf.Tensor, arrays: Any) -> tf.Tensor:
    """-log density of rows `[B, d]` (of standardised rows) under what `fit_mixture` found: float64 `[B]`."""
    standardised = (rows - arrays["loc"]) / arrays["scale"]
    centred = standardised[:, tf.newaxis] - arrays["means"]  # [B, K, d]
    whitened = tf.einsum("bkd,kde->bke", centred, arrays["precisions"])
    log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(arrays["precisions"])), axis=-1)
    logs = arrays["log_weights"] + log_det - 0.5 * tf.reduce_sum(whitened**2, axis=-1)
    return -tf.reduce_logsumexp(logs, axis=-1) + 0.5 * LOG_2PI * rows.shape[-1]


def _arrays(
    loc: np.ndarray, scale: np.ndarray, weights: np.ndarray, means: np.ndarray, precisions: np.ndarray
) -> Arrays:
    return {
        "loc": loc,
        "scale": scale,
        "log_weights": np.log(np.maximum(weights, 1e-300)),
        "means": means,
        "precisions": precisions,
    }
