"""p(x | low resolution): what is halved, a closed form where pixels are free, and what a fit learns."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tfp_flows import testing
from tfp_flows.distributions import (
    ImageDistribution,
    SuperResolution,
    discretized_logistic_log_prob,
    low_resolution,
)
from tfp_flows.numerics import noise

IMAGES = np.random.default_rng(0).integers(0, 256, [6, 4, 8, 3], np.uint8)


class Around(ImageDistribution):
    """Every pixel a rounded logistic around 256 h - 1/2, h its condition."""

    def __init__(self, name="around"):
        super().__init__((4, 8, 3), tf.float64, dict(locals()), name)

    def _log_prob_of_images(self, images, condition):
        values = discretized_logistic_log_prob(images, 256.0 * condition - 0.5, tf.constant(4.0, tf.float64))
        return tf.reduce_sum(values, [1, 2, 3])

    def _sample_n(self, n, seed, condition):
        u = noise.uniform([n, 4, 8, 3], seed, tf.float64)
        drawn = 256.0 * condition - 0.5 + 4.0 * (tf.math.log(u) - tf.math.log1p(-u))
        return tf.clip_by_value(tf.round(drawn), 0.0, 255.0)


def _brute(images):
    found = np.zeros([len(images), 2, 4, 3])
    for i, row, column, channel in np.ndindex(found.shape):
        block = images[i, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2, channel]
        found[i, row, column, channel] = np.floor(int(block.sum()) / 4 + 0.5)
    return found


def test_a_low_resolution_is_the_rounded_mean_of_four_pixels():
    np.testing.assert_array_equal(low_resolution(IMAGES), _brute(IMAGES))
    in_graph = tf.function(low_resolution, input_signature=[tf.TensorSpec([None, 4, 8, 3], tf.uint8)])
    np.testing.assert_array_equal(in_graph(IMAGES), _brute(IMAGES))
    model = SuperResolution(Around())
    np.testing.assert_array_equal(model.encode(IMAGES), _brute(IMAGES))
    np.testing.assert_array_equal(low_resolution(model.enlarged(model.encode(IMAGES))), _brute(IMAGES))


def test_an_image_is_judged_given_its_own_low_resolution():
    model, low = SuperResolution(Around()), _brute(IMAGES)
    means = low.repeat(2, axis=1).repeat(2, axis=2)
    scale = tf.constant(4.0, tf.float64)
    expected = discretized_logistic_log_prob(tf.cast(IMAGES, tf.float64), means, scale)
    expected = expected.numpy().sum((1, 2, 3))
    np.testing.assert_allclose(model.log_prob(IMAGES), expected, rtol=1e-10)
    other = model.log_prob(IMAGES, low[::-1].copy())
    assert (other.numpy() < expected).all()
    drawn = model.sample(np.repeat(low, 200, axis=0), seed=0).numpy().reshape(6, 200, 4, 8, 3)
    inside = (means > 40) & (means < 215)
    np.testing.assert_allclose(drawn.mean(1)[inside], means[inside], atol=6 * 7.3 / np.sqrt(200))
    np.testing.assert_array_equal(model.reconstruct(IMAGES, seed=3), model.sample(low, seed=3))


def test_a_fit_learns_what_the_low_resolution_leaves_open():
    """Smooth images: given their halves, next to nothing is left, whatever the images themselves vary."""
    rng = np.random.default_rng(0)
    level = rng.integers(30, 220, [512, 1, 1, 1])
    images = np.clip(level + rng.integers(-2, 3, [512, 4, 4, 1]), 0, 255).astype(np.uint8)
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=4, hidden_channels=32)
    flow = tfp_flows.glow(config, (4, 4, 1), condition_channels=1)
    model = SuperResolution(tfp_flows.Dequantized(flow))
    settings = dict(steps=300, batch_size=64, learning_rate=1e-2, ema_decay=0.9, progress=False)
    history = tfp_flows.fit(model, images, images[:64], validate_every=300, **settings)
    found = np.mean(tfp_flows.bits_per_dim(model.log_prob(images[:64]), (4, 4, 1)))
    assert history.validation[-1].loss == pytest.approx(found, rel=1e-5)
    wrong = model.encode(images[:64]).numpy()[::-1].copy()
    given_another = np.mean(tfp_flows.bits_per_dim(model.log_prob(images[:64], wrong), (4, 4, 1)))
    assert given_another > found + 5
    drawn = model.sample(model.encode(images[:64]), seed=0).numpy().mean((1, 2, 3))
    assert np.corrcoef(drawn, level[:64, 0, 0, 0])[0, 1] > 0.9
    shares = model.log_prob_map(images[:4])
    np.testing.assert_allclose(tf.reduce_sum(shares, [1, 2]), model.log_prob(images[:4]), rtol=1e-4)


def test_noise_in_training_is_fresh():
    flow = tfp_flows.glow(
        tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4), (4, 4, 1), condition_channels=1
    )
    testing.perturb(flow)
    model = SuperResolution(tfp_flows.Dequantized(flow))
    family = tfp_flows.models.registry.family_of(model)
    images = np.repeat(IMAGES[:1, :, :4, :1], 3, axis=0)
    assert len(np.unique(family.training_log_prob(model, images, (0, 1)))) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: low_resolution(IMAGES[:, :3]), "must have even sides, to be halved, got 3x8"),
        (lambda model: model.sample(IMAGES, seed=0), r"super_resolution: .*4, 8, 3"),
        (lambda model: model.sample(np.full([1, 2, 4, 3], 0.5), seed=0), "integer grey levels"),
    ],
)
def test_mistakes_get_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(SuperResolution(Around()))
    assert "\n" not in str(error.value)
