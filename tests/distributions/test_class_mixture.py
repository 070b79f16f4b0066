"""A mixture of classes: Bayes' rule where all is known, brute force where it is not, and what it refuses."""

import math

import numpy as np
import pytest
import tensorflow as tf

import pixelcnn
import tfp_flows
import vae
from tfp_flows import testing
from tfp_flows.distributions import ImageDistribution, discretized_logistic_log_prob
from tfp_flows.numerics import noise

PROBS = np.array([1.0, 2.0, 5.0])
NAMES = ("coat", "shoe", "bag")
IMAGES = np.random.default_rng(0).integers(0, 256, [6, 4, 4, 1], np.uint8)


class Logistic(ImageDistribution):
    """Every pixel a logistic that is rounded, its location that of the class: 60, 120 or 200."""

    def __init__(self, name="logistic"):
        parameters = dict(locals())
        self.locations = tf.Variable([60.0, 120.0, 200.0], dtype=tf.float64)
        super().__init__((2, 2, 1), tf.float64, parameters, name)

    def _location(self, condition):
        return (condition @ self.locations[:, tf.newaxis])[:, :, tf.newaxis, tf.newaxis]

    def _log_prob_of_images(self, images, condition):
        values = discretized_logistic_log_prob(
            images, self._location(condition), tf.constant(9.0, tf.float64)
        )
        return tf.reduce_sum(values, [1, 2, 3])

    def _sample_n(self, n, seed, condition):
        u = noise.uniform([n, 2, 2, 1], seed, tf.float64)
        values = self._location(condition) + 9.0 * (tf.math.log(u) - tf.math.log1p(-u))
        return tf.clip_by_value(tf.round(values), 0.0, 255.0)


@pytest.fixture(scope="module")
def logistic():
    return tfp_flows.ClassMixture(Logistic(), PROBS, NAMES)


def _glow():
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4, dtype="float64")
    flow = tfp_flows.glow(config, (4, 4, 1), condition_channels=3)
    testing.perturb(flow, scale=0.3)
    return tfp_flows.Dequantized(flow, num_samples=2)


def _pixelcnn():
    settings = dict(num_resnet=1, num_hierarchies=2, num_filters=4, dtype=tf.float64)
    model = pixelcnn.PixelCNN((4, 4, 1), condition_size=3, **settings)
    testing.perturb(model, scale=0.1)
    return model


def _vae():
    settings = dict(architecture="small", latent_size=3, likelihood="logistic", dtype=tf.float64)
    model = vae.VAE((4, 4, 1), condition_size=3, num_importance_samples=3, **settings)
    testing.perturb(model, scale=0.1)
    return model


@pytest.fixture(scope="module", params=[_glow, _pixelcnn, _vae])
def conditional(request):
    return request.param()


def _cdf(value):
    return 1.0 / (1.0 + np.exp(-value))


def test_where_all_is_known_bayes_rule_gives_the_posterior(logistic):
    x = np.array([[[[70], [95]], [[80], [110]]], [[[255], [180]], [[0], [130]]]], np.uint8)
    given = np.ones([2, 3])
    for y, location in enumerate((60, 120, 200)):
        above = _cdf((x + 0.5 - location) / 9)
        below = np.where(x == 0, 0.0, _cdf((x - 0.5 - location) / 9))
        given[:, y] = (np.where(x == 255, 1.0, above) - below).prod((1, 2, 3))
    joint = given * PROBS / 8
    np.testing.assert_allclose(logistic.log_prob(x), np.log(joint.sum(1)), rtol=1e-8)
    np.testing.assert_allclose(logistic.class_log_probs(x), np.log(given), rtol=1e-8)
    expected = joint / joint.sum(1, keepdims=True)
    np.testing.assert_allclose(logistic.posterior(x).probs_parameter(), expected, rtol=1e-6, atol=1e-12)
    assert logistic.posterior(x).mode().numpy()[0] == 0 and 0.01 < expected[0, 1] < 0.99


def test_it_is_a_probability(logistic):
    """Summed over all images of one pixel; here the product of four equal sums for each class."""
    x = np.arange(256, dtype=np.uint8)[:, np.newaxis, np.newaxis, np.newaxis] * np.ones(
        [1, 2, 2, 1], np.uint8
    )
    one_pixel = np.exp(logistic.class_log_probs(x).numpy() / 4)
    np.testing.assert_allclose((one_pixel.sum(0) ** 4 * PROBS / 8).sum(), 1.0, rtol=1e-10)


def test_samples_have_the_classes_shares_and_the_classes_images(logistic):
    images = logistic.sample(4000, seed=3).numpy()
    found = logistic.posterior(images).mode().numpy()
    np.testing.assert_allclose(np.bincount(found) / 4000, PROBS / 8, atol=4 * math.sqrt(0.25 / 4000))
    given = logistic.sample([500, 3], condition=NAMES, seed=0).numpy()
    assert given.shape == (500, 3, 2, 2, 1)
    np.testing.assert_allclose(given.mean((0, 2, 3, 4)), [60, 120, 200], atol=1.5)
    np.testing.assert_array_equal(given, logistic.sample([500, 3], condition=[0, 1, 2], seed=0))
    assert not np.array_equal(given, logistic.sample([500, 3], condition=[0, 1, 2], seed=1))


def test_the_marginal_is_the_sum_over_classes_whatever_the_batch(conditional):
    model = tfp_flows.ClassMixture(conditional, PROBS, NAMES)
    each = [conditional.log_prob(IMAGES, condition=np.eye(3)[[y] * 6]).numpy() for y in range(3)]
    by_class = np.stack(each, axis=1)
    assert np.ptp(by_class, axis=1).min() > 1e-3
    most = by_class.max(1, keepdims=True)
    expected = np.log(np.sum(np.exp(by_class - most) * PROBS / 8, axis=1)) + most[:, 0]
    np.testing.assert_allclose(model.log_prob(IMAGES), expected, rtol=1e-12)
    for labels in (np.array([0, 1, 2, 2, 1, 0]), tf.constant([0, 1, 2, 2, 1, 0], tf.int64)):
        found = model.log_prob(IMAGES, condition=labels)
        np.testing.assert_allclose(found, by_class[np.arange(6), np.asarray(labels)], rtol=1e-12)
    np.testing.assert_allclose(model.log_prob(IMAGES, condition="shoe"), by_class[:, 1], rtol=1e-12)
    alone = [float(model.log_prob(IMAGES[i : i + 1])[0]) for i in (5, 0)]
    np.testing.assert_allclose(alone, expected[[5, 0]], rtol=1e-12)
    in_graph = tf.function(lambda x: model.log_prob(x), input_signature=[tf.TensorSpec([None, 4, 4, 1])])
    np.testing.assert_allclose(in_graph(IMAGES.astype(np.float32)), expected, rtol=1e-12)
    testing.check_density_model(model, IMAGES)


def test_gradients_reach_every_network(conditional):
    model = tfp_flows.ClassMixture(conditional, PROBS)
    assert {v.ref() for v in model.trainable_variables} == {v.ref() for v in conditional.trainable_variables}
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.log_prob(IMAGES))
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert gradient is not None and np.isfinite(gradient).all(), variable.name


def test_fit_with_labels_trains_what_the_label_says():
    """Two classes, dark and bright: the posterior tells them apart, which before it could not."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 256)
    level = np.where(labels, 170, 60)[:, np.newaxis, np.newaxis, np.newaxis]
    images = np.clip(level + rng.normal(0, 20, [256, 4, 4, 1]), 0, 255).astype(np.uint8)
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=2, hidden_channels=8)
    flow = tfp_flows.glow(config, (4, 4, 1), condition_channels=2)
    model = tfp_flows.ClassMixture(tfp_flows.Dequantized(flow), np.bincount(labels))
    settings = dict(
        steps=60, batch_size=64, learning_rate=1e-2, ema_decay=0.5, progress=False, validate_every=60
    )
    history = tfp_flows.fit(
        model, images, images[:64], conditions=labels, validation_conditions=labels[:64], **settings
    )
    found = tfp_flows.bits_per_dim(model.log_prob(images[:64], condition=labels[:64]), (4, 4, 1))
    assert history.validation[-1].loss == pytest.approx(np.mean(found), rel=1e-5)
    assert (model.posterior(images).mode().numpy() == labels).mean() > 0.98
    before = np.mean(tfp_flows.bits_per_dim(model.log_prob(images), (4, 4, 1)))
    tfp_flows.fit(model, images, from_data=False, **{**settings, "steps": 20, "learning_rate": 1e-3})
    after = np.mean(tfp_flows.bits_per_dim(model.log_prob(images), (4, 4, 1)))
    assert after < before, "without labels it is fitted to log p(x)"


def test_what_it_refuses(logistic):
    x = np.zeros([2, 2, 2, 1], np.uint8)
    for condition, says in (
        ([0, 3], r"its classes are 0..2, got \[0, 3\]"),
        (["coat", "hat"], "there is no class 'hat': coat, shoe, bag"),
        (np.eye(4), r"must be classes, or vectors \[..., 3\]"),
        ([True, False], "must be classes, got bool"),
    ):
        with pytest.raises(ValueError, match=says):
            logistic.log_prob(x, condition=condition)
    for probs, says in (
        ([1.0, 0.0], "`probs` must be K positive numbers"),
        ([1.0], "`class_names` must be 1"),
    ):
        with pytest.raises(ValueError, match=says):
            tfp_flows.ClassMixture(logistic.conditional, probs, ["a", "a"][: 2 * len(probs)])


@pytest.mark.parametrize(("count", "classes"), [(4, [0, 1, 2]), (1, [0, 1]), (2, [[0, 1], [1, 0]])])
def test_classes_that_do_not_belong_to_the_samples_are_refused_in_one_line(logistic, count, classes):
    with pytest.raises(tfp_flows.checks.UserError, match="`condition` holds .* do not broadcast") as error:
        logistic.sample(count, seed=0, condition=classes)
    assert "\n" not in str(error.value)


def test_a_class_that_is_none_is_no_number_in_a_graph(logistic):
    x = np.zeros([2, 2, 2, 1], np.uint8)
    found = tf.function(lambda labels: logistic.log_prob(x, condition=labels))(tf.constant([1, 7]))
    np.testing.assert_array_equal(np.isfinite(found), [True, False])
