"""The discretised logistic against TFP's own in float64, and where rounding would hurt."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows.distributions.discretized_logistic import (
    discretized_logistic_log_prob,
    discretized_logistic_moments,
)

tfd, tfb = tfp.distributions, tfp.bijectors
LEVELS = np.arange(256.0)


def _tfp(loc, scale):
    logistic = tfd.TransformedDistribution(tfd.Logistic(loc, scale), tfb.Shift(np.float64(-0.5)))
    return tfd.QuantizedDistribution(logistic, low=np.float64(0), high=np.float64(255))


@pytest.mark.parametrize("loc", [-30.0, 0.0, 127.3, 255.0, 280.0])
@pytest.mark.parametrize("scale", [0.5, 7.0, 90.0])
def test_against_tfp(loc, scale):
    loc, scale = np.float64(loc), np.float64(scale)
    expected = _tfp(loc, scale).log_prob(LEVELS)
    actual = discretized_logistic_log_prob(LEVELS, loc, scale)
    near = expected > -300  # further out TFP's own difference of logarithms loses digits
    np.testing.assert_allclose(actual[near], expected[near], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_sums_to_one(scale):
    log_prob = discretized_logistic_log_prob(
        LEVELS[:, None], np.array([-9.0, 3.2, 300.0]), np.float64(scale)
    )
    np.testing.assert_allclose(tf.reduce_logsumexp(log_prob, axis=0), 0, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_stay_finite_and_single_precision_agrees(dtype):
    x = np.array([0, 1, 128, 254, 255], dtype)[:, None]
    loc = tf.constant([-500.0, 127.0, 127.6, 900.0], dtype)
    for scale in (2e-2, 0.1, 1.0, 1e4):
        scale = tf.constant(scale, dtype)
        with tf.GradientTape() as tape:
            tape.watch([loc, scale])
            log_prob = discretized_logistic_log_prob(x, loc, scale)
        assert np.isfinite(log_prob).all() and (log_prob.numpy() <= 0).all()
        for gradient in tape.gradient(log_prob, [loc, scale]):
            assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
        exact = discretized_logistic_log_prob(*(np.float64(v) for v in (x, loc, scale)))
        np.testing.assert_allclose(log_prob, exact, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments_are_those_of_the_probabilities(dtype):
    loc, scale = (v.ravel() for v in np.meshgrid([-40.0, 0.2, 127.3, 254.9, 300.0], [1e-2, 0.5, 9.0, 200.0]))
    probability = np.exp(discretized_logistic_log_prob(LEVELS[:, None], loc, scale))
    mean = (LEVELS[:, None] * probability).sum(axis=0)
    variance = ((LEVELS[:, None] - mean) ** 2 * probability).sum(axis=0)
    found = discretized_logistic_moments(tf.constant(loc, dtype), tf.constant(scale, dtype))
    assert [m.dtype for m in found] == [dtype, dtype]
    single = dtype == "float32"
    np.testing.assert_allclose(found[0], mean, rtol=1e-5, atol=1e-3 if single else 1e-9)
    np.testing.assert_allclose(
        found[1], variance, rtol=1e-3 if single else 1e-8, atol=0.05 if single else 1e-7
    )
