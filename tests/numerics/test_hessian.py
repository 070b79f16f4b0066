"""Hessian traces against a dense float64 Hessian, closed forms, and themselves."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from tfp_flows import testing
from tfp_flows.numerics import hessian

tfd = tfp.distributions
SHAPE = (4, 4, 1)


@functools.cache
def _flow(coupling="affine"):
    config = tfp_flows.GlowConfig(
        levels=1, steps_per_level=2, hidden_channels=4, coupling=coupling, dtype="float64"
    )
    flow = tfp_flows.glow(config, SHAPE)
    testing.perturb(flow, scale=0.2)
    return flow


def _points(count=3):
    return tf.constant(np.random.default_rng(0).uniform(size=[count, *SHAPE]))


def _dense(log_prob, x):
    """The whole Hessian `[B, d, d]`."""
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = log_prob(x)
        gradient = inner.gradient(value, x)
    size = np.prod(SHAPE)
    return outer.batch_jacobian(gradient, x).numpy().reshape(-1, size, size)


@pytest.mark.parametrize(("coupling", "chunk"), [("affine", None), ("affine", 5), ("additive", 100)])
def test_exact_trace_and_diagonal_are_those_of_the_dense_hessian(coupling, chunk):
    log_prob, x = _flow(coupling).log_prob, _points()
    dense = _dense(log_prob, x)
    diagonal = np.einsum("bii->bi", dense)
    np.testing.assert_allclose(
        hessian.hessian_diagonal(log_prob, x, chunk).numpy().reshape(3, -1), diagonal, atol=1e-8
    )
    weights = np.random.default_rng(1).normal(size=SHAPE)  # of both signs
    trace = hessian.hessian_trace(log_prob, x, weights=weights, chunk=chunk)
    np.testing.assert_allclose(trace, diagonal @ weights.ravel(), rtol=1e-8)
    np.testing.assert_allclose(hessian.hessian_trace(log_prob, x), diagonal.sum(1), rtol=1e-8)


def test_quadratic_forms_are_those_of_the_dense_hessian():
    log_prob, x = _flow().log_prob, _points()
    vectors = np.random.default_rng(2).normal(size=[7, 1, *SHAPE])
    flat = vectors.reshape(7, -1)
    expected = np.einsum("ki,bij,kj->kb", flat, _dense(log_prob, x), flat)
    forms = hessian.hessian_quadratic_forms(log_prob, x, vectors, chunk=3)
    np.testing.assert_allclose(forms, expected, rtol=1e-8, atol=1e-8)


def test_hutchinson_is_unbiased_for_an_indefinite_weight_and_knows_its_error():
    log_prob, x = _flow().log_prob, _points()
    weights = np.random.default_rng(1).normal(size=SHAPE)
    exact = hessian.hessian_trace(log_prob, x, weights=weights)
    estimate = tf.function(
        lambda seed: hessian.hessian_trace(
            log_prob, x, weights, num_probes=64, seed=seed, return_standard_error=True
        )
    )
    estimates, errors = zip(*(estimate(tf.constant(seed)) for seed in range(40)), strict=True)
    z = (np.array(estimates) - exact.numpy()) / np.array(errors)  # [40, 3], about standard normal
    assert abs(z.mean()) < 4 / np.sqrt(z.size) and 0.6 < z.std() < 1.6


def test_hutchinson_depends_on_the_seed_alone():
    log_prob, x = _flow().log_prob, _points()
    first, second, third = (
        hessian.hessian_trace(log_prob, x, num_probes=8, seed=seed, chunk=chunk)
        for seed, chunk in [(3, None), (3, 3), (4, None)]
    )
    np.testing.assert_allclose(first, second, rtol=1e-10)
    assert abs(first - third).numpy().max() > 1e-6


def test_one_rademacher_probe_is_exact_for_a_diagonal_hessian():
    normal = tfd.Independent(tfd.Normal(np.zeros(5), np.arange(1.0, 6.0)), 1)
    trace = hessian.hessian_trace(normal.log_prob, tf.zeros([2, 5], tf.float64), num_probes=1)
    np.testing.assert_allclose(trace, -(1 / np.arange(1.0, 6.0) ** 2).sum() * np.ones(2), rtol=1e-12)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("num_probes", [None, 4])
def test_in_a_function_with_and_without_xla(jit_compile, num_probes):
    log_prob, x = _flow().log_prob, _points()
    expected = hessian.hessian_trace(log_prob, x, num_probes=num_probes)
    compiled = tf.function(
        lambda x: hessian.hessian_trace(log_prob, x, num_probes=num_probes), jit_compile=jit_compile
    )
    np.testing.assert_allclose(compiled(x), expected, rtol=1e-8)


def test_constant_volume_relu_flow_has_minus_jacobian_squared():
    """H = -J^T J / sigma^2 almost everywhere: shifts are piecewise linear, and their kinks measure 0."""
    flow, x = _flow("additive"), _points()
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = flow.bijector.inverse(x)
    jacobian = tape.batch_jacobian(z, x).numpy().reshape(3, 16, 16)
    diagonal = hessian.hessian_diagonal(flow.log_prob, x).numpy().reshape(3, 16)
    np.testing.assert_allclose(diagonal, -(jacobian**2).sum(axis=1), rtol=1e-8)


def test_a_linear_density_has_no_curvature():
    trace = hessian.hessian_trace(lambda x: tf.reduce_sum(x, axis=1), tf.ones([2, 3]))
    np.testing.assert_array_equal(trace, [0, 0])


def test_pixelcnn_at_relaxed_inputs():
    model = tfd.PixelCNN((4, 4, 1), num_resnet=1, num_hierarchies=1, num_filters=4, use_weight_norm=False)
    x = tf.constant(np.random.default_rng(0).uniform(1, 254, [2, 4, 4, 1]).astype(np.float32))

    def log_prob(x):
        return model.log_prob(x, training=False)

    expected = np.einsum("bii->b", _dense(log_prob, x))
    np.testing.assert_allclose(hessian.hessian_trace(log_prob, x), expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(x=tf.ones([2, 3], tf.int32)), "must be a floating tensor"),
        (dict(x=tf.ones([3])), "must be a floating tensor"),
        (dict(num_probes=0), "`num_probes` must be positive, got 0"),
        (dict(num_probes=1, return_standard_error=True), "at least 2"),
        (dict(chunk=0), "`chunk` must be positive, got 0"),
        (dict(weights=tf.ones([4])), r"`weights` of shape \(4,\) do not broadcast"),
        (dict(weights=tf.ones([5, 2, 3])), "do not broadcast"),
        (dict(log_prob_fn=lambda x: tf.round(x[:, 0])), "has no gradient"),
        (dict(log_prob_fn=lambda x: x), r"must map \(2, 3\) to \(2,\), got \(2, 3\)"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    arguments = dict(log_prob_fn=lambda x: -tf.reduce_sum(x**2, 1), x=tf.ones([2, 3])) | arguments
    with pytest.raises(ValueError, match=message):
        hessian.hessian_trace(**arguments)
