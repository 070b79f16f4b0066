"""Glow as a whole: the contract, closed forms, constant volume, configuration errors."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from tfp_flows import bijectors, testing

tfd = tfp.distributions

SMALL = tfp_flows.GlowConfig(levels=2, steps_per_level=2, hidden_channels=5)
CONFIGS = {
    "nvp": SMALL,
    "nvp-reversible": dataclasses.replace(SMALL, reversible=True),
    "nvp-exp": dataclasses.replace(SMALL, scale="exp", factor_out="none"),
    "cv": dataclasses.replace(SMALL, coupling="additive"),
    "highway": dataclasses.replace(SMALL, network="highway", factor_out="shift"),
}


def _build(config, image_shape, dtype):
    config = dataclasses.replace(config, dtype=dtype.name)
    return tfp_flows.glow(config, image_shape).bijector


@pytest.mark.parametrize("name", CONFIGS)
def test_contract(name):
    build = functools.partial(_build, CONFIGS[name], (8, 4, 1))
    testing.check_bijector(build, (8, 4, 1))


def _perturbed(config, image_shape=(8, 8, 3), scale=0.1):
    flow = tfp_flows.glow(dataclasses.replace(config, dtype="float64"), image_shape)
    testing.perturb(flow, scale=scale)
    return flow


def test_constant_volume_glow_has_a_log_det_that_does_not_depend_on_the_image():
    x = np.random.default_rng(0).uniform(size=[16, 8, 8, 3])
    flow = _perturbed(CONFIGS["cv"])
    log_det = np.broadcast_to(flow.bijector.inverse_log_det_jacobian(x, event_ndims=3), [16])
    assert np.ptp(log_det) == 0 and log_det[0] != 0
    log_det = _perturbed(CONFIGS["nvp"]).bijector.inverse_log_det_jacobian(x, event_ndims=3)
    assert np.ptp(log_det) > 1e-2


@pytest.mark.parametrize("prior", ["normal", "laplace", "logistic"])
def test_log_prob_is_prior_plus_log_det(prior):
    flow = _perturbed(dataclasses.replace(SMALL, prior=prior, prior_scale=1.5))
    x = np.random.default_rng(0).uniform(size=[4, 8, 8, 3])
    z = flow.bijector.inverse(x).numpy()
    density = {
        "normal": lambda v: -0.5 * (v / 1.5) ** 2 - np.log(1.5) - 0.5 * np.log(2 * np.pi),
        "laplace": lambda v: -abs(v) / 1.5 - np.log(3.0),
        "logistic": lambda v: -v / 1.5 - 2 * np.log1p(np.exp(-v / 1.5)) - np.log(1.5),
    }[prior]
    expected = density(z).sum(axis=(1, 2, 3)) + flow.bijector.inverse_log_det_jacobian(x)
    np.testing.assert_allclose(flow.log_prob(x), expected, rtol=1e-10)


def test_density_integrates_to_one():
    """Importance sampling from a wide Student t: E[p(x) / q(x)] = 1 on a 2x2 image."""
    flow = _perturbed(dataclasses.replace(SMALL, levels=1), image_shape=(2, 2, 1))
    proposal = tfd.Sample(tfd.StudentT(np.float64(4.0), np.float64(0.0), 1.5), [2, 2, 1])
    x = proposal.sample(200_000, seed=(0, 1))
    ratio = np.exp(flow.log_prob(x) - proposal.log_prob(x))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(ratio)) < 0.05


def test_levels_are_nested_and_keep_the_shape():
    flow = tfp_flows.glow(dataclasses.replace(SMALL, levels=3), (8, 8, 1))
    names = [m.name for m in flow.bijector.submodules if isinstance(m, bijectors.FactorOut)]
    assert names == ["level0_factor_out", "level1_factor_out"]
    assert flow.bijector.inverse_event_shape([8, 8, 1]) == [8, 8, 1]


def test_float32_round_trip_of_a_deep_flow_within_a_tenth_of_a_grey_level():
    config = tfp_flows.GlowConfig(levels=2, steps_per_level=16, hidden_channels=16)
    flow = tfp_flows.glow(config, (16, 16, 1))
    testing.perturb(flow, scale=0.02)
    x = np.random.default_rng(0).uniform(size=[4, 16, 16, 1]).astype(np.float32)
    bijectors.initialize_actnorms(flow.bijector, tf.constant(x))
    z = flow.bijector.inverse(x)
    assert abs(flow.bijector.forward(tf.identity(z)) - x).numpy().max() * 256 < 0.1


def test_two_flows_built_alike_do_not_share_results():
    x = tf.random.stateless_uniform([2, 8, 8, 3], (0, 1))
    first, second = tfp_flows.glow(SMALL, (8, 8, 3)), tfp_flows.glow(SMALL, (8, 8, 3))
    kept = first.bijector.inverse(x)
    np.testing.assert_array_equal(second.bijector.inverse(x), kept)  # the same seed
    testing.perturb(second)
    assert abs(second.log_prob(x) - first.log_prob(x)).numpy().max() > 1e-3
    other_seed = tfp_flows.glow(dataclasses.replace(SMALL, seed=1), (8, 8, 3))
    assert abs(other_seed.bijector.inverse(x) - kept).numpy().max() > 1e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tfp_flows.GlowConfig(levels=0), "`levels` must be a positive integer, got 0"),
        (lambda: tfp_flows.GlowConfig(coupling="cv"), "`coupling` must be one of.*'cv'"),
        (lambda: tfp_flows.GlowConfig(scale="tanh"), "`scale` must be one of.*'tanh'"),
        (lambda: tfp_flows.GlowConfig(reversible=1), "`reversible` must be True or False, got 1"),
        (lambda: tfp_flows.GlowConfig(prior="cauchy"), "`prior` must be one of.*'cauchy'"),
        (
            lambda: tfp_flows.GlowConfig(prior_scale=0.0),
            "`prior_scale` must be positive and finite, got 0.0",
        ),
        (
            lambda: tfp_flows.GlowConfig(coupling="additive", factor_out="affine"),
            "no constant-volume flow",
        ),
        (lambda: tfp_flows.glow(SMALL, (8, 6, 1)), r"width .* halve evenly 2 times.*\(8, 6, 1\)"),
        (lambda: tfp_flows.glow(SMALL, (8, 8)), r"\(height, width, channels\), got \(8, 8\)"),
    ],
)
def test_bad_configurations_are_named(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
