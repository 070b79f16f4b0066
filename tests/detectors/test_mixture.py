"""Mixtures of normal distributions, against scikit-learn and SciPy."""

import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.mixture
import tensorflow as tf
import threadpoolctl

from tfp_flows.detectors import mixture


def _surprise(rows, arrays):
    return mixture.surprise(tf.constant(rows), {k: tf.constant(v) for k, v in arrays.items()}).numpy()


def _rows(n, d, seed=0):
    rng = np.random.RandomState(seed)
    return rng.normal(size=[n, d]) @ rng.normal(size=[d, d]) * 10.0 + 100.0


def test_a_mixture_is_scikit_learns():
    rows, others = _rows(300, 4), _rows(50, 4, 1)
    arrays = mixture.fit_mixture(rows, 3)
    standard = sklearn.mixture.GaussianMixture(3, reg_covar=mixture.LEAST_VARIANCE, random_state=0)
    standard.fit((rows - rows.mean(0)) / rows.std(0))
    expected = -standard.score_samples((others - rows.mean(0)) / rows.std(0))
    np.testing.assert_allclose(_surprise(others, arrays), expected, rtol=1e-9)


def test_a_normal_distribution_is_scipys():
    rows = _rows(40, 6)
    arrays = mixture.fit_normal(rows)
    standardised = (rows - rows.mean(0)) / rows.std(0)
    whitening = arrays["precisions"][0]
    covariance = np.linalg.inv(whitening @ whitening.T)
    expected = -scipy.stats.multivariate_normal(np.zeros(6), covariance).logpdf(standardised)
    np.testing.assert_allclose(_surprise(rows, arrays), expected, rtol=1e-9)
    assert np.linalg.cond(covariance) < np.linalg.cond(np.cov(standardised.T))  # shrunk


def test_more_columns_than_rows_and_constant_columns():
    rows = np.concatenate([_rows(5, 8), np.full([5, 1], 7.0)], axis=1)
    found = _surprise(np.concatenate([rows, rows + 50.0]), mixture.fit_normal(rows))
    assert np.isfinite(found).all() and found[5:].min() > found[:5].max()


@pytest.mark.parametrize("distinct", [1, 2])
def test_rows_that_repeat_are_a_density_without_a_warning(distinct):
    rows = np.repeat(_rows(distinct, 3), 60, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = _surprise(np.concatenate([rows, rows + 5.0]), mixture.fit_mixture(rows, 5))
    assert np.isfinite(found).all() and found[len(rows) :].min() > found[: len(rows)].max()


def test_one_thread_fits_whatever_is_allowed_elsewhere(monkeypatch):
    seen = []

    def fit(self, rows):
        seen.extend(pool["num_threads"] for pool in threadpoolctl.threadpool_info())
        return fitted(self, rows)

    fitted = sklearn.mixture.GaussianMixture.fit
    monkeypatch.setattr(sklearn.mixture.GaussianMixture, "fit", fit)
    rows = np.random.default_rng(0).normal(size=[100, 3])
    with threadpoolctl.threadpool_limits(2):
        mixture.fit_mixture(rows, 2)
        outside = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    assert seen and set(seen) == {1}
    assert set(outside) == {2}
