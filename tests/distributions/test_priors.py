"""Priors are TFP's distributions; a seed gives the same draws of them everywhere."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows.distributions import priors
from tfp_flows.numerics import Seed, noise

tfd = tfp.distributions
SCIPY = {"normal": scipy.stats.norm, "laplace": scipy.stats.laplace, "logistic": scipy.stats.logistic}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", priors.CLASSES)
def test_draws_are_of_the_distribution(name, dtype):
    prior = priors.CLASSES[name](dtype(0.5), dtype(1.5))
    draws = prior.sample(20000, seed=(1, 2)).numpy()
    assert draws.dtype == dtype and np.isfinite(draws).all()
    assert scipy.stats.kstest(draws, SCIPY[name](0.5, 1.5).cdf).pvalue > 0.01
    np.testing.assert_allclose(prior.log_prob(draws), SCIPY[name](0.5, 1.5).logpdf(draws), rtol=2e-5)


@pytest.mark.parametrize("name", ["laplace", "logistic"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_and_the_smallest_uniform_give_finite_draws(name, dtype, monkeypatch):
    ends = tf.constant([0.0, 1.0 - (2.0**-52 if dtype == np.float64 else 2.0**-23)], dtype)
    monkeypatch.setattr(noise, "uniform", lambda *_: ends)
    low, high = priors.CLASSES[name](dtype(0.0), dtype(1.0)).sample(2, seed=0).numpy()
    np.testing.assert_allclose(low, -high, rtol=1e-6)
    assert 15 < high < 40


@pytest.mark.parametrize("df", [0.7, 3.0, 400.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_draws_of_students_t_are_of_it_and_finite_at_the_ends(df, dtype, monkeypatch):
    prior = priors.StudentT(dtype(df), dtype(0.5), dtype(1.5))
    draws = prior.sample(20000, seed=(1, 2)).numpy()
    assert draws.dtype == dtype and np.isfinite(draws).all()
    assert scipy.stats.kstest(draws, scipy.stats.t(df, 0.5, 1.5).cdf).pvalue > 0.01
    last = 1.0 - (2.0**-52 if dtype == np.float64 else 2.0**-23)
    monkeypatch.setattr(noise, "uniform", lambda *_: tf.constant([[0.0, 0.0], [last, 0.0]], dtype))
    low, high = prior.sample(2, seed=0).numpy()
    assert low == 0.5 and 5 < high < np.inf


@pytest.mark.parametrize("name", [*priors.CLASSES, "student_t"])
def test_parts_batches_and_xla_give_the_same_draws(name):
    kind = priors.CLASSES.get(name, lambda loc, scale: priors.StudentT(2.5, loc, scale))
    latent = tfd.Sample(kind(0.0, 2.0), [3, 5])
    whole = latent.sample(6, seed=(3, 4))
    parts = [latent.sample(2, seed=Seed.of((3, 4)).part(index, 3)) for index in range(3)]
    np.testing.assert_allclose(tf.concat(parts, 0), whole, atol=1e-5)
    np.testing.assert_allclose(latent.sample(4, seed=(3, 4)), whole[:4], atol=1e-5)
    compiled = tf.function(lambda seed: latent.sample(6, seed=seed), jit_compile=True)
    np.testing.assert_allclose(compiled(tf.constant([3, 4])), whole, atol=1e-5)
    np.testing.assert_allclose(latent.sample(6, seed=4), latent.sample(6, seed=(0, 4)))


def test_without_a_seed_every_draw_is_another_in_a_graph_too():
    tf.random.set_seed(1)  # or TensorFlow refuses, once a test has made it deterministic
    draw = tf.function(tfd.Sample(priors.Normal(0.0, 1.0), [4]).sample)
    assert (draw().numpy() != draw().numpy()).all()
