"""Samples at another temperature, of each family."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_flows
from pixelcnn import PixelCNN, mixture
from tests.conftest import SMALL
from tfp_flows import testing
from tfp_flows.distributions import in_parts
from tfp_flows.distributions.temperature import checked
from tfp_flows.evaluation import by_class
from vae import VAE

tfb, tfd = tfp.bijectors, tfp.distributions
SHAPE = (4, 4, 1)


def test_of_a_flow_the_latent_is_nearer_to_its_mean():
    prior = tfd.Sample(tfd.Normal(0.5, 0.1), SHAPE)
    model = tfp_flows.Dequantized(tfd.TransformedDistribution(prior, tfb.Scale(0.9)))
    whole, half = model.draws(1000, seed=(0, 3)), model.draws(1000, seed=(0, 3), temperature=0.5)
    np.testing.assert_allclose(half, 0.45 + 0.5 * (whole.numpy() - 0.45), rtol=1e-5)
    np.testing.assert_array_equal(model.sample(1000, seed=(0, 3)), np.floor(256 * whole.numpy()))
    np.testing.assert_array_equal(
        model.sample(1000, seed=(0, 3), temperature=0.5), np.floor(256 * half.numpy())
    )
    assert (model.sample(3, temperature=0.0).numpy() == 115).all()
    np.testing.assert_array_equal(
        model.sample([2, 500], seed=(0, 3), temperature=0.5).shape, [2, 500, *SHAPE]
    )


def test_of_a_flow_with_a_condition_and_a_learned_prior():
    config = tfp_flows.GlowConfig(**SMALL["glow"], learned_prior=True)
    flow = tfp_flows.glow(config, SHAPE, condition_channels=2)
    testing.perturb(flow, scale=0.1)
    model, condition = tfp_flows.Dequantized(flow), tf.eye(2)
    z = flow.distribution.sample([3, 2], seed=5)
    mean = flow.distribution.mean()
    y = flow.bijector.forward(mean + 0.7 * (z - mean), condition=condition)
    found = model.sample([3, 2], seed=5, temperature=0.7, condition=condition)
    np.testing.assert_array_equal(found, np.clip(np.floor(256 * y.numpy()), 0, 255))


def test_parts_change_nothing(monkeypatch):
    flow = tfp_flows.glow(tfp_flows.GlowConfig(**SMALL["glow"]), SHAPE)
    one = in_parts.sample(flow, 24, 1, 0.6)
    monkeypatch.setattr(in_parts.parts, "at_once", lambda: 2)
    np.testing.assert_allclose(in_parts.sample(flow, 24, 1, 0.6), one, atol=1e-5)


def test_of_a_vae_the_latent_is_nearer_to_zero():
    model = VAE(SHAPE, **SMALL["vae"])
    testing.perturb(model, scale=0.3)
    at_zero = model.decode(tf.zeros([4, 3]))
    found = model.sample(4000, seed=0, temperature=0.0).numpy().mean(axis=0)
    np.testing.assert_allclose(found, at_zero.mean()[0], atol=8)
    drawn = [model.sample(4, seed=0, temperature=t).numpy() for t in (0.5, 1.0, 1.0)]
    assert (drawn[0] != drawn[1]).any() and (drawn[1] == drawn[2]).all()


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 3.0])
def test_noise_of_a_pixelcnn(temperature):
    u = tf.constant(np.random.default_rng(0).uniform(size=[1000, 5]))
    found = mixture.at_temperature(u, 3, temperature).numpy()
    u = u.numpy()
    gumbel, before = (-np.log(-np.log(values[:, :3])) for values in (found, u))
    np.testing.assert_allclose(gumbel, temperature * before, atol=1e-9)
    logits = np.log(found[:, 3:]) - np.log1p(-found[:, 3:])
    np.testing.assert_allclose(logits, temperature * (np.log(u[:, 3:]) - np.log1p(-u[:, 3:])), atol=1e-9)
    edges = mixture.at_temperature(tf.constant([[0.0, 1 - 2.0**-24, 0.0, 1 - 2.0**-24]]), 2, temperature)
    assert ((edges.numpy() >= 0) & (edges.numpy() < 1)).all()


def test_of_a_pixelcnn_zero_leaves_nothing_to_chance():
    model = PixelCNN(SHAPE, **SMALL["pixelcnn"])
    testing.perturb(model, scale=0.3)
    found = model.sample(3, seed=0, temperature=0.0).numpy()
    np.testing.assert_array_equal(found, np.broadcast_to(found[:1], found.shape))
    first = model.pixel_mixtures(found)
    chosen = int(np.argmax(first.logits[0, 0, 0]))
    level = 127.5 * (float(first.locs[0, 0, 0, chosen, 0]) + 1)
    np.testing.assert_allclose(found[0, 0, 0, 0], np.clip(np.round(level), 0, 255))
    assert (model.sample(3, seed=0).numpy() != found).any()


def test_of_classes_it_is_that_of_each_class():
    flow = tfp_flows.glow(tfp_flows.GlowConfig(**SMALL["glow"]), SHAPE, condition_channels=2)
    testing.perturb(flow, scale=0.1)
    model = tfp_flows.ClassMixture(tfp_flows.Dequantized(flow), [1, 1])
    given = np.repeat([0, 1], by_class.COLUMNS)
    for temperature in (1.0, 0.3):
        expected = model.sample(len(given), seed=(0, 0), condition=given, temperature=temperature).numpy()
        found = by_class.samples(model, (0, 0), temperature)
        np.testing.assert_array_equal(found.reshape(expected.shape), expected)


def test_numbers_of_numpy_are_temperatures():
    for temperature in (np.float32(0.5), np.float64(0.5)):
        assert checked(temperature, "model") == 0.5
    assert checked(np.int64(1), "model") == 1.0


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf"), "1", True])
def test_what_is_no_temperature(temperature):
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), SHAPE), tfb.Scale(2.0))
    for model in (tfp_flows.Dequantized(flow), VAE(SHAPE, **SMALL["vae"])):
        with pytest.raises(ValueError, match="`temperature` must be"):
            model.sample(2, temperature=temperature)


def test_a_density_without_a_latent_has_none():
    model = tfp_flows.Dequantized(tfd.Sample(tfd.Beta(2.0, 2.0), SHAPE))
    assert model.sample(2, temperature=1.0).shape == [2, *SHAPE]
    with pytest.raises(ValueError, match="`temperature`"):
        model.sample(2, temperature=0.5)
