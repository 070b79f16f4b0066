"""A step of a chain: every kind of bijector, in both directions, applied, undone and differentiated."""

import concurrent.futures

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.bijectors.chains import CONV
from tfp_flows import bijectors, testing
from tfp_flows.bijectors import folding

tfb = tfp.bijectors


def _network(in_channels, out_channels):
    return CONV(in_channels, out_channels, dtype=tf.float64)


def _rest():
    return bijectors.AdditiveCoupling(4, _network, dtype=tf.float64)


KINDS = {
    "actnorm": lambda: bijectors.ActNorm(4, dtype=tf.float64),
    "conv1x1": lambda: bijectors.InvertibleConv1x1(4, dtype=tf.float64),
    "coupling": lambda: bijectors.AffineCoupling(4, _network, dtype=tf.float64),
    "factor_out": lambda: bijectors.FactorOut(8, _network, rest=_rest(), dtype=tf.float64),
    "tfp": lambda: tfb.Scale(tf.constant([1.0, -2.0, 0.5, 3.0], tf.float64)),
    "tfp's chain": lambda: tfb.Chain([tfb.Shift(tf.constant(1.0, tf.float64)), _rest()]),
    "inverted": lambda: tfb.Invert(bijectors.AffineCoupling(4, _network, dtype=tf.float64)),
    "inverted twice": lambda: tfb.Invert(tfb.Invert(bijectors.ActNorm(4, dtype=tf.float64))),
    "chain": lambda: bijectors.FusedChain([bijectors.ActNorm(4, dtype=tf.float64), _rest()]),
}


def _check(step, map_value, map_log_det, value, variables):
    """A step is these maps; its product with a loss's gradients is that of the tape."""
    result, log_det = step.apply(value)
    np.testing.assert_allclose(result, map_value(value), atol=1e-12)
    expected = map_log_det(tf.identity(value), event_ndims=3)
    np.testing.assert_allclose(log_det + tf.zeros([2], tf.float64), expected + np.zeros(2), rtol=1e-10)
    np.testing.assert_allclose(step.undo(result), value, atol=1e-10)
    weights = tf.constant(np.random.default_rng(1).normal(size=result.shape))
    dlog_det = tf.constant([1.5, -0.5], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(value)
        found = map_value(tf.identity(value)), map_log_det(tf.identity(value), event_ndims=3)
        loss = tf.reduce_sum(found[0] * weights) + tf.reduce_sum(dlog_det * found[1])
    wanted, *of_variables = tape.gradient(loss, [value, *variables])
    undone, gradient, others = step.vjp(result, weights, dlog_det, [])
    np.testing.assert_allclose(undone, value, atol=1e-10)
    np.testing.assert_allclose(gradient, wanted, atol=1e-8)
    for variable, wanted in zip(variables, of_variables, strict=True):
        np.testing.assert_allclose(others[variable.ref()], wanted, atol=1e-8)


@pytest.mark.parametrize("inverse", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_its_bijector_in_one_direction(kind, inverse):
    bijector = KINDS[kind]()
    testing.perturb(bijector)
    channels = 8 if kind == "factor_out" else 4
    value = tf.constant(np.random.default_rng(0).uniform(size=[2, 3, 3, channels]))
    step = bijectors.step(bijector, inverse=inverse, event_ndims=3)
    maps = (
        (bijector.inverse, bijector.inverse_log_det_jacobian)
        if inverse
        else (bijector.forward, bijector.forward_log_det_jacobian)
    )
    _check(step, *maps, value, bijector.trainable_variables)


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("inverse", [True, False])
def test_a_folded_step_is_its_two_members(made, inverse):
    members = [KINDS["actnorm"](), KINDS["conv1x1"]()]
    chain = tfb.Chain(members)
    testing.perturb(chain)
    (pair,) = folding.folded(members)
    if made:
        (pair,) = folding.with_products([pair], inverse)
    maps = (
        (chain.inverse, chain.inverse_log_det_jacobian)
        if inverse
        else (chain.forward, chain.forward_log_det_jacobian)
    )
    value = tf.constant(np.random.default_rng(0).uniform(size=[2, 3, 3, 4]))
    step = folding.FoldedStep(pair, inverse, event_ndims=3)
    # A product made beforehand is a constant to whoever differentiates; a chain then differentiates without.
    _check(step, *maps, value, [] if made else chain.trainable_variables)


def test_what_is_folded():
    norm, conv = KINDS["actnorm"](), KINDS["conv1x1"]()
    assert folding.folded([norm, conv, norm, norm, conv]) == [
        folding.FoldedPair(norm, conv),
        norm,
        folding.FoldedPair(norm, conv),
    ]
    assert folding.folded([conv, norm]) == [conv, norm]
    other = bijectors.ActNorm(2, dtype=tf.float64)
    assert folding.folded([other, conv]) == [other, conv]
    assert folding.folded([]) == []


def test_kernels_assembled_in_one_thread_are_not_met_in_another():
    chain = bijectors.FusedChain([bijectors.ActNorm(4), bijectors.InvertibleConv1x1(4)])
    x = np.ones([1, 4], np.float32)

    @tf.function
    def in_graph(x):
        with bijectors.kernels_assembled_once(chain, inverse=True):
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                elsewhere = pool.submit(lambda: chain.inverse(np.ones([1, 4])).numpy()).result()
            return chain.inverse(x), elsewhere

    here, elsewhere = in_graph(x)
    np.testing.assert_allclose(here, chain.inverse(x), atol=1e-6)
    np.testing.assert_allclose(elsewhere, chain.inverse(x), atol=1e-6)
