"""Networks take a condition for their input, or refuse it with both shapes."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows import networks, testing

IMAGES = (
    networks.ConvNetwork,
    networks.HighwayNetwork,
    networks.AttentionNetwork,
    networks.TransformerNetwork,
    networks.ConvLayer,
)
NETWORKS = (*IMAGES, networks.DenseNetwork)


def _built(factory, condition_channels=3):
    settings = {} if factory is networks.ConvLayer else {"hidden_channels": 5}
    network = factory(4, 2, condition_channels=condition_channels, dtype=tf.float64, **settings)
    testing.perturb(network)
    return network


def _input(network, batch=2):
    shape = [batch, 4] if isinstance(network, networks.DenseNetwork) else [batch, 3, 5, 4]
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("factory", NETWORKS)
def test_a_condition_stands_beside_the_input_at_every_position(factory):
    network = _built(factory)
    unconditional = {**network.__dict__}
    x, condition = _input(network), np.random.default_rng(1).standard_normal([2, 3])
    network._condition_channels = 0
    wide = np.broadcast_to(condition.reshape([2, *[1] * (x.ndim - 2), 3]), [*x.shape[:-1], 3])
    expected = network(tf.constant(np.concatenate([x, wide], -1)))
    network.__dict__.update(unconditional)
    x = tf.constant(x)
    for given in (
        condition,
        condition.tolist(),
        tf.constant(condition),
        condition.astype(np.float32) * 0 + condition,
    ):
        np.testing.assert_array_equal(network(x, condition=given), expected)
    np.testing.assert_array_equal(network(x, condition=wide), expected)
    np.testing.assert_allclose(network(x, condition=condition.astype(np.float32)), expected, atol=1e-6)
    one_for_all = network(x, condition=condition[0])
    np.testing.assert_allclose(one_for_all[0], expected[0], rtol=1e-12)
    np.testing.assert_array_equal(one_for_all, network(x, condition=np.stack([condition[0]] * 2)))


@pytest.mark.parametrize("factory", IMAGES)
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([5, 3], r"shape \[K\], \[N, K\] or .* K=3 .*\(2, 3, 5, 4\), got \(5, 3\)"),
        ([2, 4], r"got \(2, 4\)"),
        ([2, 5, 3], r"got \(2, 5, 3\)"),
        ([2, 5, 3, 3], r"got \(2, 5, 3, 3\)"),
        ([], r"got \(\)"),
    ],
)
def test_another_shape_is_refused(factory, shape, message):
    network = _built(factory)
    with pytest.raises(ValueError, match=message) as error:
        network(tf.constant(_input(network)), condition=np.ones(shape))
    assert "\n" not in str(error.value)


def test_a_missing_or_needless_condition_and_another_dtype_are_refused():
    network = _built(networks.ConvNetwork)
    x = tf.constant(_input(network))
    with pytest.raises(ValueError, match="`condition` must have 3 channels, got None"):
        network(x)
    with pytest.raises(ValueError, match="input's dtype float64, got a tensor of float32"):
        network(x, condition=tf.ones([2, 3]))
    network = _built(networks.ConvNetwork, condition_channels=0)
    with pytest.raises(ValueError, match=r"K=0 .* got \(2, 3\)"):
        network(x, condition=np.ones([2, 3]))


def test_one_condition_for_a_batch_as_wide_as_the_condition():
    """A vector [K] with a batch of K images is one vector for all, not one number for each."""
    network = functools.partial(networks.ConvNetwork, hidden_channels=5, dtype=tf.float64)(
        4, 2, condition_channels=2
    )
    testing.perturb(network)
    x, condition = tf.constant(_input(network)), np.array([1.0, -2.0])
    np.testing.assert_array_equal(network(x, condition=condition), network(x, condition=[condition] * 2))


def test_in_a_graph_of_any_batch_size():
    network = _built(networks.ConvNetwork)
    x, condition = _input(network), np.random.default_rng(1).standard_normal([2, 3])
    signature = [tf.TensorSpec([None, 3, 5, 4], tf.float64), tf.TensorSpec([None, 3], tf.float64)]
    call = tf.function(lambda x, h: network(x, condition=h), input_signature=signature)
    assert call.get_concrete_function().structured_outputs.shape.as_list() == [None, 3, 5, 2]
    np.testing.assert_allclose(call(x, condition), network(tf.constant(x), condition=condition), rtol=1e-12)
