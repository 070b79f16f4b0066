"""Moments and the second-order expansion, against closed forms and brute force."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from analysis import comparison, moments, second_order, sweeps
from analysis.errors import AnalysisError
from tfp_flows import bijectors, testing

tfd = tfp.distributions
RNG = np.random.default_rng(0)
SHAPE = (4, 4, 3)
P = RNG.integers(0, 256, [40, *SHAPE], dtype=np.uint8)
Q = RNG.integers(60, 160, [50, *SHAPE], dtype=np.uint8)


@functools.cache
def _linear_flow(squeeze=True, prior_scale=0.7):
    """A flow without couplings: a Gaussian, whose log-density is exactly of second order."""
    channels = 12 if squeeze else 3
    members = [bijectors.Squeeze()] if squeeze else []
    for i in range(2):
        members += [
            bijectors.ActNorm(channels, dtype=tf.float64),
            bijectors.InvertibleConv1x1(channels, seed=i, dtype=tf.float64),
        ]
    chain = bijectors.FusedChain(members)
    testing.perturb(chain, scale=0.3)
    latent = chain.inverse_event_shape(SHAPE)
    prior = tfd.Normal(tf.zeros([], tf.float64), tf.constant(prior_scale, tf.float64))
    return tfd.TransformedDistribution(tfd.Sample(prior, latent), chain)


@functools.cache
def _cv_glow():
    config = tfp_flows.GlowConfig(
        levels=2, steps_per_level=2, hidden_channels=4, coupling="additive", dtype="float64"
    )
    flow = tfp_flows.glow(config, SHAPE)
    testing.perturb(flow, scale=0.2)
    return flow


def test_moments_in_one_pass_are_those_of_numpy_for_any_batches():
    expected_mean, expected_variance = P.mean(axis=0), P.astype(float).var(axis=0)
    for sizes in ([40], [1] * 40, [7, 30, 3]):
        found = moments.moments(np.split(P, np.cumsum(sizes)[:-1]))
        assert found.count == 40
        np.testing.assert_allclose(found.mean, expected_mean, rtol=1e-12)
        np.testing.assert_allclose(found.variance, expected_variance, rtol=1e-12)
    np.testing.assert_allclose(moments.moments_of(P, 16).variance, expected_variance, rtol=1e-12)


def test_unit_moments_are_those_of_dequantised_images():
    found = moments.moments_of(P)
    noise = np.random.default_rng(1).uniform(size=[2000, *P.shape])
    y = (P + noise) / 256
    np.testing.assert_allclose(found.unit_mean, y.mean(axis=(0, 1)), atol=1e-4)
    np.testing.assert_allclose(found.unit_variance, y.var(axis=(0, 1)), rtol=2e-3)


def test_moments_of_one_image_or_of_two_shapes_are_refused():
    with pytest.raises(AnalysisError, match="at least 2 images, got 1"):
        moments.moments_of(P[:1])
    with pytest.raises(AnalysisError, match="one shape"):
        moments.moments([P[:2], P[:2, :2]])


@pytest.mark.parametrize("squeeze", [True, False])
def test_without_couplings_the_linear_part_is_the_whole_hessian(squeeze):
    flow = _linear_flow(squeeze)
    expansion = second_order.expand(flow, moments.moments_of(P))
    np.testing.assert_allclose(second_order.linear_part_diagonal(flow), expansion.diagonal, rtol=1e-6)


def test_linear_part_against_a_dense_jacobian():
    """With the last layer of every network at zero the flow is affine: its Jacobian is J0."""
    config = tfp_flows.GlowConfig(
        levels=2, steps_per_level=2, hidden_channels=4, coupling="additive", dtype="float64"
    )
    silent = tfp_flows.glow(config, SHAPE)  # networks begin at zero
    for module in silent.bijector.submodules:
        if isinstance(module, bijectors.ActNorm | bijectors.InvertibleConv1x1):
            testing.perturb(module, scale=0.2)
    x = tf.zeros([1, *SHAPE], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = silent.bijector.inverse(x)
    jacobian = tape.batch_jacobian(z, x).numpy().reshape(48, 48)
    expected = -(jacobian**2).sum(axis=0)
    np.testing.assert_allclose(second_order.linear_part_diagonal(silent).ravel(), expected, rtol=1e-9)


def test_the_expansion_of_a_gaussian_is_exact():
    """First order, curvature of the means and the full covariance explain all of the difference."""
    flow = _linear_flow()
    found = _compare(flow, P, Q)
    assert abs(found.second_order_total - found.measured) < 0.02 * abs(found.measured)
    assert found.trace_full_se > 0


def _compare(flow, p_images, q_images):
    p, q = (comparison.Sample(images, moments.moments_of(images)) for images in (p_images, q_images))
    expansion = second_order.expand(flow, p.moments)
    log_probs = [flow.log_prob(sample.draw(len(sample.images), seed=0)).numpy() for sample in (p, q)]
    return comparison.compare(
        flow, expansion, p, q, log_prob_p=log_probs[0], log_prob_q=log_probs[1], num_probes=256
    )


def test_trace_terms_of_one_model_agree():
    flow = _cv_glow()
    found = _compare(flow, P, Q)
    p, q = moments.moments_of(P), moments.moments_of(Q)
    expansion = second_order.expand(flow, p)
    difference = q.unit_variance - p.unit_variance
    expected = 0.5 * np.sum(expansion.diagonal * difference)
    np.testing.assert_allclose(found.trace_exact, expected, rtol=1e-10)
    assert abs(found.trace_hutchinson - expected) < 4 * found.trace_hutchinson_se
    assert found.trace_paper is None and found.trace_linear is not None
    assert found.trace_exact > 0  # Q varies less than P
    assert comparison.sign(found.trace_exact) == comparison.sign(found.measured) == 1


def test_full_covariance_against_a_dense_one():
    flow = _cv_glow()
    p = moments.moments_of(P)
    expansion = second_order.expand(flow, p)
    images = (P + 0.5) / 256
    centred = (images - images.mean(axis=0)).reshape(40, -1)
    forms = expansion.quadratic_forms(np.eye(48).reshape(48, *SHAPE))
    np.testing.assert_allclose(forms, expansion.diagonal.ravel(), rtol=1e-8)
    sums = np.eye(48)[:, None] + np.eye(48)[None, :]
    pairs = expansion.quadratic_forms(sums.reshape(-1, *SHAPE)).reshape(48, 48)
    hessian = 0.5 * (pairs - forms[:, None] - forms[None, :])  # by polarisation
    expected = 0.5 * np.mean(np.einsum("ni,ij,nj->n", centred, hessian, centred))
    term, error = expansion.full_covariance_term(images, images.mean(axis=0))
    np.testing.assert_allclose(term, expected, rtol=1e-6)
    assert error > 0


def test_papers_formula_by_hand_and_where_it_is_exact():
    flow = _linear_flow(squeeze=False, prior_scale=1.3)
    p, q = moments.moments_of(P), moments.moments_of(Q)
    norm0, conv0, norm1, conv1 = flow.bijector.bijectors
    alpha = np.ones(3)
    for norm, conv in ((norm0, conv0), (norm1, conv1)):
        alpha *= (conv.kernel().numpy() * np.exp(norm.log_scale.numpy())).sum(axis=1)
    difference = (q.variance - p.variance).sum(axis=(0, 1)) / 256**2
    expected = -0.5 / 1.3**2 * np.sum(alpha**2 * difference)
    np.testing.assert_allclose(second_order.paper_estimate(flow, q, p), expected, rtol=1e-9)
    # One layer that scales the channels: the heuristic is the exact trace.
    scale = bijectors.FusedChain(
        [bijectors.ActNorm(3, log_scale=np.array([0.5, -0.2, 1.0]), dtype="float64")]
    )
    diagonal = tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(np.float64(0), np.float64(1)), SHAPE), scale
    )
    exact = second_order.expand(diagonal, p).trace_term(q.unit_variance - p.unit_variance)
    np.testing.assert_allclose(second_order.paper_estimate(diagonal, q, p), exact, rtol=1e-9)


def test_closed_forms_say_where_they_do_not_apply():
    p, q = moments.moments_of(P), moments.moments_of(Q)
    with pytest.raises(AnalysisError, match="channels that stay those of the image.*Squeeze"):
        second_order.paper_estimate(_linear_flow(), q, p)
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
    with pytest.raises(AnalysisError, match="constant volume"):
        second_order.linear_part_diagonal(tfp_flows.glow(config, SHAPE))
    config = tfp_flows.GlowConfig(1, 1, 4, coupling="additive", prior="laplace")
    with pytest.raises(AnalysisError, match="needs a normal prior"):
        second_order.linear_part_diagonal(tfp_flows.glow(config, SHAPE))


def test_moments_that_do_not_fit_the_model_are_refused():
    with pytest.raises(AnalysisError, match=r"images are \(4, 4, 3\), but the moments are of .*\(2, 4, 3\)"):
        second_order.expand(_cv_glow(), moments.moments_of(P[:, :2]))
    with pytest.raises(AnalysisError, match="zero variance in every pixel"):
        second_order.expand(_cv_glow(), moments.moments_of(np.repeat(P[:1], 3, axis=0)))


def test_sign_knows_its_error():
    assert [comparison.sign(v, 1.0) for v in (-3.0, -1.0, 0.0, 1.9, 2.1)] == [-1, 0, 0, 0, 1]


def test_sweeps_on_real_digits():
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
    model = tfp_flows.Dequantized(tfp_flows.glow(config, (8, 8, 1)))
    log_prob = model.log_prob
    means, errors, sets = sweeps.contrast_sweep(log_prob, "digits", (0.0, 0.5, 1.0), max_images=20)
    variances = [images.astype(float).var() for images in sets]
    assert variances[0] < variances[1] < variances[2] and means.shape == errors.shape == (3,)
    levels, values = sweeps.constant_sweep(log_prob, (8, 8, 1), levels=(0, 128))
    image = np.full([1, 8, 8, 1], 128, np.uint8)
    np.testing.assert_allclose(values[1], log_prob(image)[0], rtol=1e-5)
    grid = sweeps.temperature_grid(model.flow, num_samples=3, temperatures=(0.0, 1.0))
    assert grid.shape == (2, 3, 8, 8, 1) and grid.dtype == np.uint8
    assert (grid[0] == grid[0, :1]).all() and (grid[1] != grid[1, :1]).any()
