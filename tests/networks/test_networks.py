"""What every coupling network keeps: its start, its seeds, any size, any batch, both types, XLA."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows import networks, testing
from tfp_flows.networks import layers, self_attention

FACTORIES = {
    "conv": networks.ConvNetwork,
    "highway": networks.HighwayNetwork,
    "attention": networks.AttentionNetwork,
    "transformer": networks.TransformerNetwork,
}
ATTENTIVE = ("attention", "transformer")
X = np.random.default_rng(0).standard_normal([3, 4, 6, 3])


def _network(name, dtype=tf.float64, perturbed=True, **settings):
    network = FACTORIES[name](3, 5, hidden_channels=8, dtype=dtype, **settings)
    if perturbed:
        testing.perturb(network)
    return network


@pytest.mark.parametrize("name", FACTORIES)
def test_a_new_network_says_zero_and_all_its_weights_can_learn(name):
    network = _network(name, perturbed=False)
    np.testing.assert_array_equal(network(tf.constant(X)), np.zeros([3, 4, 6, 5]))
    testing.perturb(network)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(tf.constant(X)) ** 3)
    for variable, gradient in zip(
        network.trainable_variables, tape.gradient(loss, network.trainable_variables), strict=True
    ):
        assert gradient is not None and np.abs(gradient).max() > 0, variable.name


@pytest.mark.parametrize("name", FACTORIES)
def test_weights_follow_from_the_seed(name):
    def weights(seed):
        return [v.numpy() for v in _network(name, perturbed=False, seed=seed).variables]

    for one, other in zip(weights([7, 0, 1]), weights([7, 0, 1]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(not np.array_equal(a, b) for a, b in zip(weights(7), weights(8), strict=True))
    kernels = [v for v in _network(name, perturbed=False).variables if v.shape.rank > 1 and np.any(v)]
    assert len({v.numpy().ravel()[0] for v in kernels}) == len(kernels), "no two layers are alike"


@pytest.mark.parametrize("name", FACTORIES)
def test_a_result_depends_on_neither_batch_nor_type_nor_compiler(name):
    exact = _network(name)
    expected = exact(tf.constant(X))
    for i in range(len(X)):
        np.testing.assert_allclose(exact(tf.constant(X[i : i + 1]))[0], expected[i], rtol=1e-9, atol=1e-12)
    single = _network(name, tf.float32, perturbed=False)
    for variable, value in zip(single.variables, exact.variables, strict=True):
        variable.assign(tf.cast(value, tf.float32))
    np.testing.assert_allclose(single(tf.constant(X, tf.float32)), expected, rtol=1e-3, atol=1e-4)
    compiled = tf.function(exact, jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(tf.constant(X)), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", FACTORIES)
def test_images_of_any_size_also_where_a_graph_does_not_know_it(name):
    network = _network(name)
    call = tf.function(network, input_signature=[tf.TensorSpec([None, None, None, 3], tf.float64)])
    for size in ([1, 1], [4, 6], [7, 2]):
        x = np.random.default_rng(1).standard_normal([2, *size, 3])
        found = network(tf.constant(x))
        assert found.shape == [2, *size, 5]
        np.testing.assert_allclose(call(x), found, rtol=1e-9, atol=1e-12)
    assert network(tf.zeros([0, 4, 6, 3], tf.float64)).shape == [0, 4, 6, 5]


@pytest.mark.parametrize("name", ATTENTIVE)
def test_attention_sees_the_whole_image_and_where_it_looks(name):
    network = _network(name)
    x = np.random.default_rng(2).standard_normal([1, 16, 16, 3])
    moved = x.copy()
    moved[0, 15, 15] += 1.0
    far = np.abs(network(tf.constant(moved)) - network(tf.constant(x)))[0, 0, 0]
    assert far.max() > 1e-6, "the first position sees the last"
    flat = np.ones([1, 9, 9, 3])
    found = network(tf.constant(flat)).numpy()[0]
    assert np.abs(found[4, 4] - found[4, 5]).max() > 1e-6, "equal neighbourhoods differ by their places"
    assert np.abs(found[4, 5] - found[5, 4]).max() > 1e-6, "rows and columns are not taken for each other"


def test_attention_is_that_of_the_formula():
    attention = self_attention.SelfAttention(8, 4, 3, tf.float64)
    testing.perturb(attention)
    x = np.random.default_rng(3).standard_normal([2, 3, 2, 8])
    weights, bias = (v.numpy() for v in (attention._into.kernel, attention._into.bias))
    query, key, value = np.split((x.reshape([2, 6, 8]) @ weights + bias), 3, axis=-1)
    expected = np.zeros([2, 6, 8])
    for head in range(4):
        own = slice(2 * head, 2 * head + 2)
        scores = np.exp(query[..., own] @ key[..., own].transpose([0, 2, 1]) / np.sqrt(2.0))
        expected[..., own] = scores / scores.sum(-1, keepdims=True) @ value[..., own]
    expected = expected @ attention._out.kernel.numpy() + attention._out.bias.numpy()
    np.testing.assert_allclose(attention(tf.constant(x)), expected.reshape(x.shape), rtol=1e-10)


@pytest.mark.parametrize(("channels", "heads"), [(8, 4), (6, 2), (5, 1)])
def test_heads_share_the_channels_evenly(channels, heads):
    assert self_attention.SelfAttention(channels, 4, 0, tf.float32).num_heads == heads


def test_a_layer_is_normalised_over_its_channels():
    norm = layers.LayerNorm(8, tf.float64, "norm")
    x = 100.0 + 3.0 * np.random.default_rng(4).standard_normal([5, 8])
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(norm(tf.constant(x)), expected, rtol=1e-9)
    norm.scale.assign(np.full(8, 2.0))
    norm.offset.assign(np.full(8, -1.0))
    np.testing.assert_allclose(norm(tf.constant(x)), 2 * expected - 1, rtol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 16])
def test_no_two_places_have_the_same_waves(size):
    waves = self_attention.with_positions(tf.zeros([1, size, size, 7], tf.float32))
    assert len(np.unique(np.reshape(waves, [-1, 7]), axis=0)) == size**2


@pytest.mark.parametrize("name", ATTENTIVE)
def test_more_blocks_are_a_setting(name):
    setting = {"attention": "num_blocks", "transformer": "num_layers"}[name]
    build = functools.partial(FACTORIES[name], 3, 5, hidden_channels=8)
    assert len(build(**{setting: 3}).variables) > len(build(**{setting: 1}).variables)
