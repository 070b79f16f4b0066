"""Noise is that of TensorFlow's kernels, and the same under XLA, where TensorFlow's own is not."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows.numerics import Seed, noise
from tfp_flows.numerics import seed as seeds

SHAPES = ([1, 50], [3, 7, 5], [1001], [2, 0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("name", ["uniform", "normal"])
def test_noise_is_that_of_the_kernels_with_and_without_xla(name, dtype, shape):
    function = getattr(noise, name)
    kernel = getattr(tf.random, f"stateless_{name}")
    seed = tf.constant([3, -4])  # an argument: a constant would be folded before XLA sees it
    found = function(shape, seed, dtype)
    assert found.dtype == dtype and found.shape == shape
    atol = {tf.float32: 2e-6, tf.float64: 1e-12}[dtype] if name == "normal" else 0
    np.testing.assert_allclose(found, kernel(shape, seed, dtype=dtype, alg="philox"), atol=atol, rtol=0)
    compiled = tf.function(lambda s: function(shape, s, dtype), jit_compile=True)
    np.testing.assert_allclose(compiled(seed), found, atol=atol, rtol=0)
    if found.shape.num_elements():
        assert (function(shape, 7, dtype).numpy() != found.numpy()).any()


def test_shapes_that_are_known_only_in_the_graph():
    function = tf.function(
        lambda n, s: (noise.uniform([n, 4], s), noise.normal([n, 4], s), Seed.of(s).split(3)),
        input_signature=[tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int64)],
    )
    uniform, normal, children = function(5, [1, 2])
    np.testing.assert_array_equal(uniform, noise.uniform([5, 4], tf.constant([1, 2], tf.int64)))
    np.testing.assert_allclose(normal, noise.normal(tf.constant([5, 4]), tf.constant([1, 2])), atol=2e-6)
    assert len(children) == 3
    for child, own in zip(children, Seed.of(tf.constant([1, 2])).split(3), strict=True):
        np.testing.assert_array_equal(child.pair, own.pair)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("name", ["uniform", "normal"])
def test_parts_of_a_batch_get_the_noise_of_the_whole(name, dtype):
    function = getattr(noise, name)
    seed = tf.constant([3, -4], tf.int64)
    # Eigen computes the last few of a vector by other instructions: normals may differ by their last digit.
    for own in ([2, 5], [1, 3], [1, 1], [3, 4, 4]):
        parts = [function(own, Seed.of(seed).part(i, 3), dtype) for i in range(3)]
        whole = function([3 * own[0], *own[1:]], seed, dtype)
        atol = {tf.float32: 1e-6, tf.float64: 1e-14}[dtype] if name == "normal" else 0
        np.testing.assert_allclose(tf.concat(parts, 0), whole, atol=atol, rtol=0)
    children = [Seed.of(seed).part(i, 3).split(2) for i in range(3)]
    for child, whole in enumerate(Seed.of(seed).split(2)):
        parts = [function([2, 5], own[child], dtype) for own in children]
        np.testing.assert_allclose(tf.concat(parts, 0), function([6, 5], whole, dtype), atol=atol, rtol=0)
    np.testing.assert_array_equal(Seed.of(7).part(0, 1).pair, [0, 7])


def test_no_seed_is_another_one_at_each_call():
    tf.random.set_seed(1)  # or TensorFlow refuses, once a test has made it deterministic
    function = tf.function(lambda: noise.uniform([5], None))
    assert (function().numpy() != function().numpy()).all()


def test_no_seed_where_tensorflow_is_deterministic(monkeypatch):
    def refused(_):
        raise RuntimeError("Random ops require a seed to be set when determinism is enabled.")

    monkeypatch.setattr(seeds.tfp.random, "sanitize_seed", refused)
    assert (noise.uniform([5], None).numpy() != noise.uniform([5], None).numpy()).all()
    with pytest.raises(RuntimeError, match="require a seed"):
        tf.function(lambda: noise.uniform([5], None))()


def test_dropout():
    x = tf.random.stateless_normal([6, 400], (0, 0))
    dropped = noise.dropout(x, 0.25, (1, 2)).numpy()
    assert 0.2 < (dropped == 0).mean() < 0.3
    np.testing.assert_allclose(dropped[dropped != 0], (x.numpy() / 0.75)[dropped != 0], rtol=1e-6)
    ones = tf.ones([6, 400])
    np.testing.assert_array_equal(
        noise.dropout(ones, 0.25, (1, 2)),
        tf.nn.experimental.stateless_dropout(ones, 0.25, (1, 2), rng_alg="philox"),
    )
    parts = [noise.dropout(x[3 * i :][:3], 0.25, Seed.of((1, 2)).part(i, 2)) for i in range(2)]
    np.testing.assert_array_equal(tf.concat(parts, 0), dropped)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_signs(dtype):
    found = noise.signs([6, 400], (1, 2), dtype)
    assert found.dtype == dtype and abs(found.numpy().mean()) < 0.1
    kernel = tf.random.stateless_uniform([6, 400], (1, 2), 0, 2, tf.int32, alg="philox")
    np.testing.assert_array_equal(found, 2 * kernel - 1)
    parts = [noise.signs([2, 400], Seed.of((1, 2)).part(i, 3), dtype) for i in range(3)]
    np.testing.assert_array_equal(tf.concat(parts, 0), found)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_half_precision_has_no_one(dtype):
    found = tf.cast(noise.uniform([100_000], 3, dtype), tf.float32).numpy()
    assert found.max() < 1.0 and found.min() >= 0.0
    np.testing.assert_allclose(found.mean(), 0.5, atol=0.01)
    whole, bits = noise.uniform([100_000], 3).numpy(), noise.HALF_BITS[dtype]
    np.testing.assert_array_equal(found, np.floor(whole * 2.0**bits) / 2.0**bits)  # the same, to fewer bits
