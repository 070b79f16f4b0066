"""A batch in parts gives what the whole batch gives."""

import ctypes
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tests import forked
from tfp_flows import bijectors, evaluation, testing
from tfp_flows.bijectors import folding
from tfp_flows.distributions import in_parts
from tfp_flows.numerics import parts

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHAPE = (8, 8, 3)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "reversible"])
def flow(request):
    config = tfp_flows.GlowConfig(levels=2, steps_per_level=1, hidden_channels=8, reversible=request.param)
    flow = tfp_flows.glow(config, SHAPE)
    testing.perturb(flow, scale=0.05)
    return flow


@pytest.fixture
def two_at_once(monkeypatch):
    monkeypatch.setattr(parts, "at_once", lambda: 2)


def _images(count):
    return tf.random.stateless_uniform([count, *SHAPE], [1, count])


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 7, 16, 25])
def test_concatenated_is_the_whole(flow, size, count):
    images = _images(size)
    compiled = tf.function(
        lambda images: parts.concatenated(flow.log_prob, images, tf.float32, count=count),
        input_signature=[tf.TensorSpec([None, *SHAPE])],
    )
    expected = flow.log_prob(images)
    np.testing.assert_allclose(compiled(images), expected, rtol=1e-5)
    eager = parts.concatenated(flow.log_prob, images, tf.float32, count=count)
    assert eager.shape == [size]
    np.testing.assert_allclose(eager, expected, rtol=1e-5)


def test_parts_have_at_least_eight_rows():
    sizes = []

    def rows(batch):
        return tf.fill([tf.shape(batch)[0]], tf.shape(batch)[0])

    for size in (5, 15, 16, 30, 100):
        found = parts.concatenated(rows, tf.zeros([size, 2]), tf.int32, count=4).numpy()
        assert len(found) == size
        sizes.append(sorted(set(found.tolist())))
    assert sizes == [[5], [15], [8], [10], [25]]


@pytest.mark.parametrize("flow", [False], indirect=True)
def test_gradient_of_concatenated(flow):
    images = _images(20)

    @tf.function
    def gradient(images, count):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(parts.concatenated(flow.log_prob, images, tf.float32, count=count) ** 2)
        return tape.gradient(loss, flow.trainable_variables)

    for ours, expected in zip(gradient(images, 2), gradient(images, 1), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("count", [2, 4])
def test_total_is_that_of_the_whole(flow, count):
    images = _images(16)
    variables = flow.trainable_variables

    def loss_and_gradients(index, images, missing):
        assert missing is None
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(flow.log_prob(images))
        return [loss, None, *tape.gradient(loss, variables)]

    like = [tf.zeros([]), tf.ones([3]), *variables]
    compiled = tf.function(lambda images: parts.total(loss_and_gradients, (images, None), count, like))
    loss, nothing, *gradients = compiled(images)
    expected, _, *expected_gradients = loss_and_gradients(0, images, None)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_array_equal(nothing, np.zeros(3))
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())


def test_total_tells_parts_by_their_index():
    found = parts.total(
        lambda index, x: [tf.cast(index, tf.float32) * x[0]], [tf.range(4.0)], 2, [tf.zeros([])]
    )
    np.testing.assert_array_equal(found, [0 * 0 + 1 * 2])


def test_total_refuses_unequal_parts():
    with pytest.raises(ValueError, match="10 images cannot be cut into 3 equal parts"):
        parts.total(lambda index, x: [x[0]], [tf.zeros([10])], 3, [tf.zeros([])])


def test_samples_are_those_of_the_whole(flow, two_at_once, monkeypatch):
    sizes = []
    forward = flow.bijector.forward
    monkeypatch.setattr(flow.bijector, "forward", lambda z: sizes.append(len(z)) or forward(z))
    found = in_parts.sample(flow, 20, seed=(3, 4))
    assert sizes == [10, 10]
    np.testing.assert_allclose(found, flow.sample(20, seed=(3, 4)), atol=1e-5)


def test_kernels_are_assembled_once_for_all_parts(flow, two_at_once, monkeypatch):
    widths = []
    products = folding.products

    def counted(folded, inverse):
        widths.append((folded[0].conv.num_channels, inverse))
        return products(folded, inverse)

    monkeypatch.setattr(folding, "products", counted)
    images = _images(20)
    tf.function(lambda: in_parts.log_prob(flow, images))()
    assert sorted(widths) == [(12, True), (24, True)]
    widths.clear()
    tf.function(lambda: in_parts.sample(flow, 20, seed=0))()
    assert sorted(widths) == [(12, False), (24, False)]


def test_assembled_kernels_do_not_outlive_their_context(flow):
    images = _images(2)
    with pytest.raises(ValueError, match="here"), bijectors.kernels_assembled_once(flow, inverse=True):
        before = flow.log_prob(images)
        raise ValueError("here")
    kernel = next(v for v in flow.trainable_variables if "lower_upper" in v.name)
    kernel.assign_add(0.1 * tf.ones_like(kernel))
    try:
        assert np.abs(flow.log_prob(images) - before).max() > 1e-3
    finally:
        kernel.assign_sub(0.1 * tf.ones_like(kernel))


def test_evaluation_in_parts(flow, two_at_once):
    model = tfp_flows.Dequantized(flow)
    images = np.random.default_rng(0).integers(0, 256, [37, *SHAPE], np.uint8)
    found = evaluation.log_probs(evaluation.compiled_log_prob(model), images, batch_size=32)
    np.testing.assert_allclose(found, model.log_prob(images), rtol=1e-5)


@pytest.mark.parametrize(
    "cores, batch_size, expected",
    [(2, 64, 2), (8, 64, 8), (16, 64, 1), (3, 64, 1), (1, 64, 1), (3, None, 3)],
)
def test_as_many_as_cores_where_the_batch_allows(monkeypatch, cores, batch_size, expected):
    monkeypatch.setattr(parts, "num_cores", lambda: cores)
    monkeypatch.setattr(parts, "one_thread_per_operation", lambda: None)
    assert parts.choose(0, batch_size) == expected
    assert parts.choose(4, batch_size) == 4
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert parts.choose(0, batch_size) == 1


THREADS = """
import json
import tensorflow as tf
from tfp_flows.numerics import parts

found = [parts.at_once()]
parts.choose(3)
threading = tf.config.threading
found += [parts.at_once(), threading.get_intra_op_parallelism_threads(), parts.num_cores()]
tf.zeros([])
print(json.dumps(found))
"""


def test_threads():
    """In a process of its own, since TensorFlow fixes its threads when it starts to work."""
    result = forked.command("tests.python_code", THREADS)
    assert result.returncode == 0, result.stderr
    cores = len(os.sched_getaffinity(0))
    assert json.loads(result.stdout) == [1, cores, 1, cores]


ARENAS = """
import ctypes, os, sys, tempfile, threading
from tfp_flows.numerics import parts

if sys.argv[1] == "shared":
    parts.one_thread_per_operation()
all_there = threading.Barrier(9)

def allocate():
    held = bytes(100_000)  # more than the interpreter takes from its own pools, less than glibc maps
    all_there.wait()
    return held

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
all_there.wait()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
path = os.path.join(tempfile.mkdtemp(), "arenas.xml")
file = ctypes.c_void_p(libc.fopen(path.encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(open(path).read().count("<heap nr="))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="not glibc")
def test_threads_share_the_allocators_arenas():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    command = [sys.executable, "-c", ARENAS]
    found = {
        how: int(subprocess.check_output([*command, how], cwd=ROOT, env=environment, text=True))
        for how in ("shared", "own")
    }
    assert found["shared"] <= parts.num_cores(), found
    assert found["own"] > parts.num_cores() or parts.num_cores() > 8, found  # there are nine threads
