"""Batches for training and evaluation."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows import data


def numbered_images(n):
    """Images that hold their own index in two pixels."""
    indices = np.arange(n)
    return np.stack([indices // 256, indices % 256], axis=1).astype(np.uint8).reshape(n, 1, 2, 1)


def indices_of(batches):
    return [(b[:, 0, 0, 0].astype(int) * 256 + b[:, 0, 1, 0]).tolist() for b in batches]


def drawn(n, batch_size, seed, start_step=0, num_steps=10):
    batches = data.training_batches(numbered_images(n), batch_size, seed, start_step, num_steps)
    return indices_of(batches.as_numpy_iterator())


@pytest.mark.parametrize("n, batch_size", [(1, 1), (1, 3), (2, 1), (7, 3), (12, 4), (5, 13), (300, 64)])
def test_every_epoch_visits_every_image_once(n, batch_size):
    epochs = 4
    steps = -(-n * epochs // batch_size)
    batches = drawn(n, batch_size, seed=3, num_steps=steps)
    assert [len(batch) for batch in batches] == [batch_size] * steps
    flat = sum(batches, [])
    orders = [flat[epoch * n : (epoch + 1) * n] for epoch in range(epochs)]
    assert all(sorted(order) == list(range(n)) for order in orders)
    if n >= 7:
        assert len({tuple(order) for order in orders}) == epochs


def test_a_resumed_run_sees_the_same_batches():
    whole = drawn(50, 8, seed=1, num_steps=40)
    for start in (0, 1, 6, 7, 39):
        assert drawn(50, 8, seed=1, start_step=start, num_steps=40 - start) == whole[start:]
    assert drawn(50, 8, seed=2, num_steps=40) != whole


def test_orders_of_epochs_and_seeds_are_uncorrelated():
    n = 50_000
    orders = [drawn(n, n, seed, num_steps=2) for seed in (0, 1, 256, -1, 2**40)]
    orders = [order for pair in orders for order in pair] + [list(range(n))]
    correlations = np.corrcoef(orders)[np.triu_indices(len(orders), 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(n)


def test_epochs_far_apart_have_different_orders():
    n = 4096
    orders = [tuple(drawn(n, n, 0, start_step=e, num_steps=1)[0]) for e in (0, 1, 256, 2**33)]
    assert len(set(orders)) == 4 and all(set(order) == set(range(n)) for order in orders)


def test_training_batches_have_a_static_shape_and_no_end():
    images = data.load("digits", "train")
    batches = data.training_batches(images, 32, seed=-5)
    assert batches.element_spec == tf.TensorSpec((32, 8, 8, 1), tf.uint8)
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY
    assert len(data.training_batches(images, 32, seed=0, start_step=5, num_steps=3)) == 3
    assert drawn(7, 2, seed=0, num_steps=0) == []
    first = next(iter(batches)).numpy()
    assert all((images.images == image).all(axis=(1, 2, 3)).any() for image in first)


def test_evaluation_batches_keep_the_order():
    images = data.load("digits")
    batches = [batch.numpy() for batch in data.evaluation_batches(images, 100)]
    assert [len(batch) for batch in batches] == [100, 100, 100, 60]
    np.testing.assert_array_equal(np.concatenate(batches), images.images)
    (batch,) = data.evaluation_batches(images.images, 1000)
    assert batch.shape == (360, 8, 8, 1) and batch.dtype == tf.uint8
    with pytest.raises(data.DataError, match="`batch_size` must be at least 1"):
        data.evaluation_batches(images, 0)


@pytest.mark.parametrize(
    "argument, problem",
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
        ({"start_step": -1}, "`start_step` must be at least 0, got -1"),
        ({"num_steps": -1}, "`num_steps` must be at least 0, got -1"),
        ({"images": np.zeros([3, 4, 4])}, "non-empty uint8 array"),
    ],
)
def test_batches_refuse(argument, problem):
    arguments = {"images": numbered_images(3), "batch_size": 2, "seed": 0} | argument
    with pytest.raises(data.DataError, match=problem):
        data.training_batches(**arguments)
