"""Glow as a whole: the contract, closed forms, constant volume, configuration errors."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_flows
from tfp_flows import bijectors, distributions, testing
from tfp_flows.numerics import parts

tfb, tfd = tfp.bijectors, tfp.distributions

SMALL = tfp_flows.GlowConfig(levels=2, steps_per_level=2, hidden_channels=5)
CONFIGS = {
    "nvp": SMALL,
    "nvp-reversible": dataclasses.replace(SMALL, reversible=True),
    "nvp-exp": dataclasses.replace(SMALL, scale="exp", factor_out="none"),
    "nvp-tanh": dataclasses.replace(SMALL, scale="tanh"),
    "cv": dataclasses.replace(SMALL, coupling="additive"),
    "ports": dataclasses.replace(SMALL, leaves="transformed", shift_first=True, factor_out_scale="exp"),
    "highway": dataclasses.replace(SMALL, network="highway", factor_out="shift"),
    "attention": dataclasses.replace(SMALL, steps_per_level=1, network="attention"),
    "transformer": dataclasses.replace(SMALL, steps_per_level=1, network="transformer"),
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


def _log_prob_z(flow, x):
    x = tf.constant(x)
    return flow.log_prob(x) - flow.bijector.inverse_log_det_jacobian(tf.identity(x), event_ndims=3)


DOUBLE = dataclasses.replace(SMALL, levels=1, steps_per_level=1, dtype="float64")
LOC = np.random.default_rng(0).standard_normal([4, 4, 3])
SCALE = np.exp(np.random.default_rng(1).standard_normal([4, 4, 3]))


@pytest.mark.parametrize("kind", ["scalar", "channels", "dimensions", "event"])
def test_a_prior_of_ones_own(kind):
    """Scalars, one for each channel, one for each dimension, or a distribution over the whole latent."""
    at = {"scalar": (0, 0, 0), "channels": (0, 0)}.get(kind, ())
    loc, scale = LOC[at], SCALE[at]
    own = tfd.Laplace(loc, scale)
    own = tfd.Independent(own, 3) if kind == "event" else own
    flow = tfp_flows.glow(DOUBLE, (4, 4, 3), prior=own)
    assert flow.event_shape == [4, 4, 3] and flow.batch_shape == []
    testing.perturb(flow)
    x = np.random.default_rng(2).uniform(size=[2, 4, 4, 3])
    z = flow.bijector.inverse(x)
    expected = np.sum(-abs(z - loc) / scale - np.log(2 * scale) * np.ones_like(z), axis=(1, 2, 3))
    np.testing.assert_allclose(_log_prob_z(flow, x), expected, rtol=1e-10)
    draws = flow.distribution.sample(4000, seed=(0, 1)).numpy()
    deviation = (draws.mean(0) - loc) / (np.sqrt(2.0) * scale / np.sqrt(4000))
    assert abs(deviation).max() < 4.5


def test_the_variables_of_ones_own_prior_are_trained():
    own = tfd.Normal(tf.Variable([0.0, 1.0, 2.0]), tfp.util.TransformedVariable(tf.ones([3]), tfb.Exp()))
    flow = tfp_flows.glow(SMALL, (8, 8, 3), prior=own)
    x = tf.random.stateless_uniform([2, 8, 8, 3], (0, 1))
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(flow.log_prob(x))
    variables = own.trainable_variables
    assert {v.ref() for v in variables} <= {v.ref() for v in flow.trainable_variables}
    gradients = tape.gradient(loss, variables)
    assert len(gradients) == 2 and all(np.all(g != 0) for g in gradients)


@pytest.mark.parametrize("prior", ["normal", "laplace", "logistic"])
@pytest.mark.parametrize("factor_out", ["affine", "shift"])
def test_a_learned_prior_has_a_mean_and_a_scale_for_each_channel(prior, factor_out):
    """Of the last level; and of the first too, where no affine factor-out gives its channels theirs."""
    config = tfp_flows.GlowConfig(
        2, 1, 4, factor_out=factor_out, prior=prior, prior_scale=1.5, learned_prior=True, dtype="float64"
    )
    flow = tfp_flows.glow(config, (8, 8, 1))
    fixed = tfp_flows.glow(dataclasses.replace(config, learned_prior=False), (8, 8, 1))
    x = np.random.default_rng(0).uniform(size=[2, 8, 8, 1])
    np.testing.assert_allclose(flow.log_prob(x), fixed.log_prob(x), rtol=1e-12)  # at the start
    location, log_scale = flow.distribution.trainable_variables
    last, first = (4 * 2, 2) if factor_out == "shift" else (4 * 2, 0)
    assert location.shape == log_scale.shape == [first + last]
    testing.perturb(flow)
    levels, channels = flow.bijector.latent_levels, flow.bijector.latent_channels
    # Numbered by level and channel; of the first level channels 2 and 3 leave.
    index = np.where(levels == 1, first + channels, channels - 2)
    learned = (levels == 1) | (first > 0)
    index[~learned] = 0
    loc = np.where(learned, location.numpy()[index], 0.0)
    scale = np.where(learned, 1.5 * np.exp(log_scale.numpy()[index]), 1.5)
    scalar = {"normal": tfd.Normal, "laplace": tfd.Laplace, "logistic": tfd.Logistic}[prior](loc, scale)
    expected = tf.reduce_sum(scalar.log_prob(flow.bijector.inverse(x)), (1, 2, 3))
    np.testing.assert_allclose(_log_prob_z(flow, x), expected, rtol=1e-10)
    draws = flow.distribution.sample(4000, seed=(0, 1))
    error = (tf.reduce_mean(draws, 0) - loc) / scalar.stddev() * np.sqrt(4000)
    assert abs(error).numpy().max() < 4.5
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(flow.log_prob(x))
    variables = flow.trainable_variables
    assert {location.ref(), log_scale.ref()} <= {v.ref() for v in variables}
    for gradient in tape.gradient(loss, [location, log_scale]):
        assert np.all(gradient != 0)


def test_samples_of_a_learned_prior_in_parts_are_those_of_the_whole(monkeypatch):
    monkeypatch.setattr(parts, "at_once", lambda: 2)
    flow = _perturbed(dataclasses.replace(SMALL, learned_prior=True))
    np.testing.assert_allclose(
        distributions.in_parts.sample(flow, 6, seed=(0, 3)), flow.sample(6, seed=(0, 3)), rtol=1e-9
    )


def test_two_flows_in_a_joint_distribution_have_names_of_their_own():
    flows = [tfp_flows.glow(SMALL, (4, 4, 1), name=name) for name in ("left", "right")]
    joint = tfd.JointDistributionSequential(flows)
    draw = joint.sample(2, seed=(0, 1))
    expected = sum(flow.log_prob(tf.identity(x)) for flow, x in zip(flows, draw, strict=True))
    np.testing.assert_allclose(joint.log_prob(draw), expected, rtol=1e-5)
    assert [flow.name for flow in flows] == ["left", "right"]


def _keras(in_channels, out_channels):
    layers = tf_keras.layers
    return tf_keras.Sequential(
        [
            layers.Input([None, None, in_channels]),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.Conv2D(out_channels, 3, padding="same"),
        ]
    )


def test_a_keras_2_model_as_network_is_trained_and_keras_3_is_refused():
    flow = tfp_flows.glow(SMALL, (8, 8, 1), network=_keras)
    couplings = [m for m in flow.submodules if isinstance(m, bijectors.AffineCoupling)]
    assert len(couplings) == 4 and {type(c.network) for c in couplings} == {tf_keras.Sequential}
    x = tf.random.stateless_uniform([2, 8, 8, 1], (0, 1))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(flow.log_prob(x))
    trained = {v.ref() for v in flow.trainable_variables}
    for coupling in couplings:
        assert {v.ref() for v in coupling.network.trainable_variables} <= trained
    assert all(g is not None for g in tape.gradient(loss, flow.trainable_variables))
    with pytest.raises(ValueError, match="Keras 3 object Dense.*never be trained"):
        tfp_flows.glow(SMALL, (8, 8, 1), network=lambda i, o: tf.keras.layers.Dense(o))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tfp_flows.GlowConfig(levels=0), "`levels` must be a positive integer, got 0"),
        (lambda: tfp_flows.GlowConfig(coupling="cv"), "`coupling` must be one of.*'cv'"),
        (lambda: tfp_flows.GlowConfig(scale="softplus"), "`scale` must be one of.*'softplus'"),
        (lambda: tfp_flows.GlowConfig(reversible=1), "`reversible` must be True or False, got 1"),
        (lambda: tfp_flows.GlowConfig(prior="cauchy"), "`prior` must be one of.*'cauchy'"),
        (
            lambda: tfp_flows.GlowConfig(prior_scale=0.0),
            "`prior_scale` must be positive and finite, got 0.0",
        ),
        (lambda: tfp_flows.GlowConfig(leaves="first"), "`leaves` must be one of.*'first'"),
        (lambda: tfp_flows.GlowConfig(factor_out_scale="no"), "`factor_out_scale` must be one of.*'no'"),
        (lambda: tfp_flows.GlowConfig(learned_prior=1), "`learned_prior` must be True or False, got 1"),
        (lambda: tfp_flows.GlowConfig(shift_first=None), "`shift_first` must be True or False, got None"),
        (
            lambda: tfp_flows.glow(SMALL, (8, 8, 1), prior=tfb.Exp()),
            "`prior` must be a tfd.Distribution, got",
        ),
        (
            lambda: tfp_flows.glow(SMALL, (8, 8, 3), prior=tfd.Normal(np.zeros(3), 1.0)),
            "`prior` must have dtype float32, got Normal of float64",
        ),
        (
            lambda: tfp_flows.glow(SMALL, (8, 8, 3), prior=tfd.Normal(tf.zeros([8, 3]), 1.0)),
            r"batch shape \(\), \(3,\) or \(8, 8, 3\).*got Normal with batch shape \(8, 3\) and event",
        ),
        (
            lambda: tfp_flows.glow(SMALL, (8, 8, 3), prior=tfd.Sample(tfd.Normal(0.0, 1.0), [3])),
            r"event shape \(8, 8, 3\) and batch shape \(\); got .* batch shape \(\) and event shape \(3,\)",
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
