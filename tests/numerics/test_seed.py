"""A seed is one thing, whatever is given for it, and goes wherever TFP's seeds go."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows.distributions import priors
from tfp_flows.numerics import Seed, noise

tfd = tfp.distributions


@pytest.mark.parametrize(
    ("given", "pair"),
    [
        (7, [0, 7]),
        (tf.constant(7, tf.int64), [0, 7]),
        ((3, -4), [3, -4]),
        ([3, -4], [3, -4]),
        (np.array([3, -4]), [3, -4]),
        (Seed.of((3, -4)), [3, -4]),
    ],
)
def test_what_may_be_given(given, pair):
    seed = Seed.of(given)
    assert isinstance(seed, Seed) and seed.part_index == 0
    np.testing.assert_array_equal(seed.pair, pair)
    np.testing.assert_array_equal(noise.uniform([5], given), noise.uniform([5], seed))


@pytest.mark.parametrize("given", [0.5, [1, 2, 3], [[1, 2]], (0.0, 1.0)])
def test_what_is_no_seed(given):
    with pytest.raises(ValueError, match="`seed` must be an integer, a pair of them, or None; got"):
        Seed.of(given)


def test_pairs_are_those_of_the_seeds_that_it_is_split_into():
    seed = Seed.of((1, 2)).part(tf.constant(2), 3)
    for child, pair in zip(seed.split(4), seed.pairs(4), strict=True):
        np.testing.assert_array_equal(child.pair, pair)
        assert child.part_index is seed.part_index
    assert len(np.unique(seed.pairs(100), axis=0)) == 100
    np.testing.assert_array_equal(
        seed.pairs(4), tf.random.experimental.stateless_split((1, 2), 4, alg="philox")
    )


def test_through_functions_distributions_and_loops():
    latent = tfd.Sample(priors.Normal(0.0, 1.0), [3])
    draw = tf.function(lambda seed: latent.sample(2, seed=seed))
    whole = latent.sample(6, seed=(3, 4))
    parts = [draw(Seed.of((3, 4)).part(index, 3)) for index in range(3)]
    np.testing.assert_allclose(tf.concat(parts, 0), whole, atol=1e-6)
    seeds = [Seed.of((3, 4)).part(tf.constant(index), 3) for index in range(3)]
    stacked = tf.nest.map_structure(lambda *fields: tf.stack(fields), *seeds)
    assert isinstance(stacked, Seed)
    looped = tf.map_fn(lambda own: noise.normal([2, 3], own), stacked, fn_output_signature=tf.float32)
    np.testing.assert_allclose(tf.reshape(looped, [6, 3]), whole, atol=1e-6)


def test_noise_of_tensorflow_takes_the_pair_and_refuses_a_part():
    coins = tfd.Independent(tfd.Categorical(logits=tf.zeros([50, 2])), 1)
    seed = Seed.of((3, 4))
    np.testing.assert_array_equal(coins.sample(seed=seed), coins.sample(seed=(3, 4)))
    np.testing.assert_array_equal(
        tf.function(lambda own: coins.sample(seed=own))(seed), coins.sample(seed=(3, 4))
    )
    for index in (1, tf.constant(0)):
        with pytest.raises(ValueError, match="a part of a batch, which TensorFlow's own noise cannot draw"):
            coins.sample(seed=seed.part(index, 2))
