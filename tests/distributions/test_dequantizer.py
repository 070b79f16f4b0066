"""Variational dequantisation: a bound of the known log P, tight with the best q, uniform where it begins."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from tests.detectors.models import random_images
from tfp_flows import data, evaluation, testing
from tfp_flows.checks import UserError
from tfp_flows.distributions import Dequantizer, dequantizer
from tfp_flows.models import registry
from tfp_flows.numerics import noise

tfb, tfd = tfp.bijectors, tfp.distributions
SHAPE = (4, 4, 1)
CONFIG = tfp_flows.GlowConfig(
    levels=1, steps_per_level=2, hidden_channels=4, dequantization="variational", dequantization_channels=4
)
IMAGES = random_images(4)


def _q(perturbed=0.05, dtype=tf.float64, **settings):
    q = Dequantizer(SHAPE, hidden_channels=6, dtype=dtype, **settings)
    if perturbed:
        testing.perturb(q, 0, perturbed)
    return q


class _Logistic:
    """Each pixel logistic around the middle, of half a grey level: log P(x), and the best q, are known."""

    loc, scale = 100.3 / 256, 0.5 / 256
    images = np.clip(np.random.default_rng(0).logistic(100.3, 0.5, [4, *SHAPE]).astype(int), 90, 110).astype(
        np.uint8
    )

    @classmethod
    def model(cls, q, **settings):
        one = tfd.Logistic(tf.constant(cls.loc, tf.float64), tf.constant(cls.scale, tf.float64))
        return tfp_flows.Dequantized(tfd.Sample(one, SHAPE), dequantizer=q, **settings)

    @classmethod
    def cdf(cls, grey):
        return scipy.stats.logistic.cdf(grey / 256, cls.loc, cls.scale)

    @classmethod
    def log_p(cls, images=images):
        x = images.astype(np.float64)
        return np.log(cls.cdf(x + 1) - cls.cdf(x)).sum(axis=(1, 2, 3))


def _estimates(q, seeds, **settings):
    """`Estimate`s of `_Logistic.images`, one for each seed, compiled once."""
    model = _Logistic.model(q, **settings)
    compiled = tf.function(lambda seed: model.estimate(_Logistic.images, seed), autograph=False)
    return [tf.nest.map_structure(np.asarray, compiled(tf.constant(seed))) for seed in seeds]


class _Best:
    """p(u | x) of `_Logistic`, by its quantiles."""

    image_shape, dtype = SHAPE, tf.float64

    def __call__(self, images, v):
        x = tf.cast(images, tf.float64)
        low, high = (tf.sigmoid(((x + i) / 256 - _Logistic.loc) / _Logistic.scale) for i in (0, 1))
        cdf = low + v * (high - low)
        u = 256 * (_Logistic.loc + _Logistic.scale * tf.math.log(cdf / (1 - cdf))) - x
        density = cdf * (1 - cdf) / _Logistic.scale / 256 / (high - low)
        return dequantizer.Noise(u, tf.reduce_sum(tf.math.log(density), axis=[1, 2, 3]))


def test_the_best_q_makes_every_draw_exact():
    model = _Logistic.model(_Best(), num_samples=4)
    found = model.estimate(_Logistic.images)
    np.testing.assert_allclose(found.log_prob, _Logistic.log_p(), rtol=1e-10)
    np.testing.assert_allclose(found.standard_error, np.zeros(4), atol=1e-8)


@pytest.mark.parametrize("perturbed", [0.0, 0.05])
def test_the_bound_is_below_and_importance_weights_bring_it_up_to_the_truth(perturbed):
    exact = _Logistic.log_p()
    q = _q(perturbed)
    (mean,) = _estimates(q, [0], num_samples=1000)
    assert (mean.log_prob + 4 * mean.standard_error < exact).all()
    gaps = []
    for count in (2, 20, 1000):
        rounds = _estimates(q, range(2000 // count), num_samples=count, bound="importance")
        gaps.append(float(np.mean(exact - np.mean([r.log_prob for r in rounds], axis=0))))
    assert gaps[0] > 2 * gaps[1] > 0 and abs(gaps[2]) < 0.1 * gaps[0]
    found = rounds[0]
    assert (np.abs(found.log_prob - exact) < 5 * found.standard_error).all()
    assert (found.standard_error < 0.5).all()


def test_standard_errors_are_those_of_repetition():
    for bound in ("mean", "importance"):
        rounds = _estimates(_q(0.03), range(40), num_samples=200, bound=bound)
        spread = np.std([r.log_prob for r in rounds], axis=0, ddof=1)
        said = np.mean([r.standard_error for r in rounds], axis=0)
        assert (0.6 < said / spread).all() and (said / spread < 1.6).all(), bound
    with pytest.raises(UserError, match="`num_samples` 2 or more"):
        _Logistic.model(_q()).estimate(_Logistic.images)


class _Tilted(tfd.Distribution):
    """Every image is as likely, 256^-D, but where in its cube the density lies depends on the image.

    logit(u) ~ Logistic(x / 64 - 2, 0.6)
    """

    def __init__(self):
        parameters = dict(locals())
        super().__init__(tf.float64, tfd.NOT_REPARAMETERIZED, False, False, parameters)

    def _event_shape(self):
        return tf.TensorShape(SHAPE)

    def _log_prob(self, y):
        x = tf.floor(256 * y)
        u = 256 * y - x
        logit = tfd.Logistic(x / 64 - 2, tf.constant(0.6, tf.float64))
        log_h = logit.log_prob(tf.math.log(u) - tf.math.log1p(-u)) - tf.math.log(u) - tf.math.log1p(-u)
        return tf.reduce_sum(log_h, axis=[-3, -2, -1])


def test_training_q_closes_the_gap():
    q = _q(0.0, num_steps=2)
    model = tfp_flows.Dequantized(_Tilted(), dequantizer=q)
    optimizer = tf.keras.optimizers.Adam(0.02)
    exact = -16 * np.log(256)
    training, others = random_images(32, SHAPE, 1), random_images(32, SHAPE, 2)

    @tf.function(autograph=False)
    def step(seed):
        v = noise.uniform(training.shape, seed, tf.float64)
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(model.log_prob_of_draw(training, v))
        gradients = tape.gradient(loss, q.trainable_variables)
        optimizer.apply_gradients(zip(gradients, q.trainable_variables, strict=True))
        return gradients

    def gap():
        found = tf.function(model.copy(num_samples=100).log_prob, autograph=False)(others)
        return float(np.mean(exact - found))

    before = gap()
    for i in range(200):
        gradients = step(tf.constant(i))
        assert all(gradient is not None for gradient in gradients)
    assert 0 < gap() < 0.35 * before


def test_q_is_a_density_and_its_two_directions_agree():
    q = _q(0.1)
    v = noise.uniform(IMAGES.shape, 3, tf.float64)
    drawn = q(IMAGES, v)
    np.testing.assert_allclose(drawn.log_q, q.log_prob(drawn.u, IMAGES), rtol=1e-7)
    by_position = q.by_position(IMAGES, v)
    np.testing.assert_array_equal(by_position.u, drawn.u)
    np.testing.assert_allclose(tf.reduce_sum(by_position.log_q, axis=[1, 2, 3]), drawn.log_q, rtol=1e-10)
    small = Dequantizer((2, 2, 1), num_steps=2, hidden_channels=4, dtype=tf.float64)
    testing.perturb(small, 1, 0.1)
    images = random_images(1, (2, 2, 1))
    v = tf.constant(np.random.default_rng(5).uniform(size=[6, 2, 2, 1]))
    with tf.GradientTape() as tape:
        tape.watch(v)
        drawn = small(np.tile(images, [6, 1, 1, 1]), v)
    jacobian = tf.reshape(tape.batch_jacobian(drawn.u, v), [6, 4, 4])
    np.testing.assert_allclose(-np.linalg.slogdet(jacobian)[1], drawn.log_q, rtol=1e-7)
    # Its mass, by importance sampling from uniform noise.
    u = np.random.default_rng(6).uniform(size=[50_000, 2, 2, 1])
    density = np.exp(small.log_prob(u, np.tile(images, [50_000, 1, 1, 1])))
    assert abs(density.mean() - 1) < 4 * density.std() / np.sqrt(50_000) < 0.1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_begins_where_uniform_noise_does(dtype):
    family = registry.family("glow")
    config = dataclasses.replace(CONFIG, dtype=dtype)
    protocol = family.protocol_class(num_dequantization_samples=3, bound="importance")
    own, uniform = (
        family.build(dataclasses.replace(config, dequantization=which), (8, 8, 3), protocol)
        for which in ("variational", "uniform")
    )
    images = random_images(5, (8, 8, 3))
    rtol = 1e-6 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(own.log_prob(images), uniform.log_prob(images), rtol=rtol)
    assert own.flow.dtype == own.dequantizer.dtype == uniform.dtype
    names = [v.name for v in uniform.variables]
    assert [v.name for v in own.flow.variables] == names, "the flow's variables are where they were"


def test_float32_agrees_with_float64_and_is_finite_at_the_edges():
    exact, single = _q(0.05), _q(0.0, tf.float32)
    for variable, value in zip(single.variables, exact.variables, strict=True):
        variable.assign(tf.cast(value, variable.dtype))
    edges = np.array([0.0, 2.0**-23, 0.5, 1.0 - 2.0**-23], np.float32)
    v = np.random.default_rng(7).choice(edges, [4, *SHAPE])
    in_the_middle = v.astype(np.float64) + 2.0**-24 - 2.0**-53
    found, expected = single(IMAGES, v), exact(IMAGES, in_the_middle)
    np.testing.assert_allclose(found.u, expected.u, atol=2e-5)
    np.testing.assert_allclose(found.log_q, expected.log_q, rtol=1e-4, atol=1e-3)
    for factor in (1.0, 1e3):  # far more than training will make of it
        for variable in single.trainable_variables:
            if "last" in variable.name:
                variable.assign(variable * factor)
        with tf.GradientTape() as tape:
            found = single(IMAGES, tf.constant(v))
            loss = tf.reduce_sum(found.log_q) + tf.reduce_sum(found.u)
        assert np.isfinite(found.log_q).all()
        assert all(np.isfinite(g).all() for g in tape.gradient(loss, single.trainable_variables))
        grey = np.floor(IMAGES + found.u.numpy())
        np.testing.assert_array_equal(grey, IMAGES)  # the noise stays within its grey level


def test_a_result_depends_on_neither_batch_nor_order_and_all_terms_sum_to_it():
    family = registry.family("glow")
    model = family.build(dataclasses.replace(CONFIG, dtype="float64"), SHAPE, family.protocol_class())
    testing.perturb(model, 2, 0.05)
    expected = model.log_prob(IMAGES)
    np.testing.assert_allclose(model.log_prob(IMAGES[::-1])[::-1], expected, rtol=1e-12)
    np.testing.assert_allclose([model.log_prob(image[np.newaxis])[0] for image in IMAGES], expected)
    np.testing.assert_allclose(sum(model.terms(IMAGES)), expected, rtol=1e-12)
    np.testing.assert_allclose(tf.reduce_sum(model.log_prob_map(IMAGES), axis=[1, 2]), expected, rtol=1e-10)
    assert np.ptp(model.terms(IMAGES).dequantization) > 0
    several = model.copy(num_samples=3, bound="importance")
    np.testing.assert_allclose(
        tf.reduce_sum(several.log_prob_shares(IMAGES), axis=[1, 2, 3]), several.log_prob(IMAGES), rtol=1e-10
    )
    compiled = tf.function(model.log_prob, jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(IMAGES), expected, rtol=1e-10)
    assert model.copy(dequantizer=None).dequantizer is None


def test_gradients_of_a_reversible_q_are_the_same():
    gradients = []
    for reversible in (False, True):
        q = _q(0.05, reversible=reversible)
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(_Logistic.model(q).log_prob(IMAGES))
        gradients.append(tape.gradient(loss, q.trainable_variables))
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


def test_it_is_trained_kept_loaded_and_evaluated_with_its_standard_error(tmp_path):
    digits = data.load("digits", "train").images[:64]
    config = dataclasses.replace(CONFIG, dequantization_steps=2)
    shape = digits.shape[1:]
    model = tfp_flows.Dequantized(
        tfp_flows.glow(config, shape), dequantizer=tfp_flows.dequantizer(config, shape)
    )
    before = [v.numpy() for v in model.dequantizer.trainable_variables]
    tfp_flows.fit(model, digits, steps=3, batch_size=16, run=tmp_path / "run", progress=False)
    moved = [
        not np.array_equal(a, b) for a, b in zip(before, model.dequantizer.trainable_variables, strict=True)
    ]
    assert np.mean(moved) > 0.5, "it learns with the flow"
    again = tfp_flows.load(tmp_path / "run", num_dequantization_samples=3, bound="importance")
    assert isinstance(again.dequantizer, Dequantizer)
    np.testing.assert_array_equal(again.copy(num_samples=1).log_prob(digits[:5]), model.log_prob(digits[:5]))
    found = evaluation.compiled_estimate(again)(tf.constant(digits[:5]))
    assert found.shape == [5, 2] and (found.numpy()[:, 1] > 0).all()
    np.testing.assert_allclose(found[:, 0], again.log_prob(digits[:5]), rtol=1e-6)


def test_a_flow_whose_config_wants_it_does_without_it_only_by_a_clear_refusal():
    flow = tfp_flows.glow(CONFIG, (8, 8, 1))
    digits = data.load("digits", "train").images[:32]
    with pytest.raises(UserError, match="`dequantizer`; tfp_flows.dequantizer"):
        tfp_flows.fit(tfp_flows.Dequantized(flow), digits, steps=1, progress=False)
    with pytest.raises(UserError, match=r"`dequantizer` is for images \(4, 4, 1\) of float64"):
        tfp_flows.Dequantized(flow, dequantizer=_q())
    with pytest.raises(UserError, match="`image_shape` must be even"):
        Dequantizer((5, 4, 1))
    with pytest.raises(UserError, match="`dequantization` must be one of"):
        tfp_flows.GlowConfig(dequantization="none")
    assert tfp_flows.dequantizer(tfp_flows.GlowConfig(), (8, 8, 1)) is None
