"""The adaptive code: it is a code, it is a good one, and it knows nothing of what is still to come."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows import data
from tfp_flows.detectors import code_length
from tfp_flows.detectors.input_complexity import png_bits


def _bits(images):
    return code_length.adaptive_bits(tf.constant(images)).numpy()


def test_lengths_satisfy_krafts_inequality():
    """Of all 65,536 images of two pixels: sum 2^-L <= 1, and little is wasted."""
    pairs = np.array(list(itertools.product(range(256), repeat=2)), np.uint8)
    lengths = [_bits(pairs.reshape(-1, *shape)).astype(np.float64) for shape in ((1, 2, 1), (2, 1, 1))]
    shares = [np.sum(2.0**-length) for length in lengths]
    assert all(0.3 < share <= 1.0 + 1e-4 for share in shares), shares


def test_given_the_pixels_before_the_probabilities_of_the_next_sum_to_one():
    """One image for each level of the last pixel, under one prediction: their probabilities sum to one."""
    rng = np.random.RandomState(0)
    known = rng.randint(100, 140, [1, 4, 4, 1]).repeat(256, axis=0).astype(np.float32)
    known[:, -1, -1, 0] = np.arange(256)
    x = tf.constant(known)
    prediction = code_length._predictions(tf.cast(x, tf.int32))[2]
    bits = code_length._bits(x, tf.cast(prediction, tf.float32)).numpy()
    np.testing.assert_allclose(np.sum(2.0 ** -bits[:, -1, -1, 0].astype(np.float64)), 1.0, rtol=1e-4)
    np.testing.assert_array_equal(bits[:, :-1], bits[:1, :-1].repeat(256, axis=0))  # nothing looks ahead


def test_neighbours_are_those_of_a_loop():
    x = np.arange(2 * 3 * 4).reshape(2, 3, 4, 1)
    left, above, above_left, above_right = (n.numpy() for n in code_length._neighbours(tf.constant(x), -1))
    for b, i, j in itertools.product(range(2), range(3), range(4)):
        first = -1 if i == j == 0 else None
        expected_above = x[b, i - 1, j, 0] if i else (x[b, 0, j - 1, 0] if j else first)
        assert above[b, i, j, 0] == expected_above
        assert left[b, i, j, 0] == (x[b, i, j - 1, 0] if j else expected_above)
        if i and j:
            assert above_left[b, i, j, 0] == x[b, i - 1, j - 1, 0]
        if i and j < 3:
            assert above_right[b, i, j, 0] == x[b, i - 1, j + 1, 0]


def test_photographs_cost_less_than_as_png_and_noise_not_less_than_it_holds():
    photographs = np.asarray(data.load("photos", "test", max_images=32).images)
    noise = np.random.RandomState(0).randint(0, 256, [8, 32, 32, 3]).astype(np.uint8)
    assert _bits(photographs).mean() < 0.85 * png_bits(tf.constant(photographs)).numpy().mean()
    assert 8.0 * 32 * 32 * 3 < _bits(noise).min() < 1.06 * 8.0 * 32 * 32 * 3


def test_flat_images_cost_next_to_nothing():
    flat = np.stack([np.full([16, 16, 3], level, np.uint8) for level in (0, 1, 128, 255)])
    assert _bits(flat).max() < 0.1 * 16 * 16 * 3


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 2), (5, 1, 3), (3, 3, 5)])
def test_any_shape_one_by_one_or_together(shape):
    images = np.random.RandomState(1).randint(0, 256, [6, *shape]).astype(np.uint8)
    together = tf.function(code_length.adaptive_bits)(tf.constant(images)).numpy()
    in_turn = np.concatenate([_bits(images[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(together, in_turn, rtol=1e-6)
    assert (together > 0).all()
