"""What benchmarks/gpu.py does without TensorFlow, piece by piece."""

import types

import numpy as np
import pytest

from benchmarks import gpu_evaluation, gpu_training


def test_about_half_of_the_images_are_mirrored_and_the_step_says_which():
    batches = np.random.default_rng(0).integers(0, 256, [2, 50, 4, 6, 3], np.uint8)
    found = gpu_training.flipped(batches, 7)
    kept = (found == batches).all(axis=(2, 3, 4))
    mirrored = (found == batches[:, :, :, ::-1]).all(axis=(2, 3, 4))
    assert (kept ^ mirrored).all() and 30 < mirrored.sum() < 70
    np.testing.assert_array_equal(gpu_training.flipped(batches, 7), found)
    assert (gpu_training.flipped(batches, 8) != found).any()


def test_decay_shrinks_kernels_alone():
    jax = pytest.importorskip("jax", reason="no JAX: the StableHLO route was not run")
    weights = {name: jax.numpy.full([2, 3], 4.0) for name in ("kernel", "bias")}
    model = types.SimpleNamespace(weights=weights, signature={"kernels": ["kernel"]})
    gpu_training.shrink(model, 0.75)
    np.testing.assert_array_equal(model.weights["kernel"], np.full([2, 3], 3.0))
    np.testing.assert_array_equal(model.weights["bias"], np.full([2, 3], 4.0))


def test_distant_images_are_what_they_are_called():
    images = gpu_evaluation.distant_images((4, 4, 1))
    assert tuple(images) == gpu_evaluation.DISTANT
    rows = {name: [list(row) for row in value[0, :, :, 0] // 255] for name, value in images.items()}
    assert rows["checkerboard"] == [[0, 1, 0, 1], [1, 0, 1, 0]] * 2
    assert rows["checkerboard_2"] == [[0, 0, 1, 1]] * 2 + [[1, 1, 0, 0]] * 2
    assert rows["stripes"] == [[0, 1, 0, 1]] * 4
    assert rows["zeros"] == [[0] * 4] * 4 and rows["full"] == [[1] * 4] * 4
    assert images["noise"].shape == (1000, 4, 4, 1) and len(np.unique(images["noise"])) == 256
