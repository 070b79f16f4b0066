"""Statistics of images, against loops."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows.detectors import image_statistics


def _images(*shape, seed=0):
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def test_details_of_one_block_by_hand():
    """A grey image of 2 x 2: one band of each direction, in grey levels."""
    image = np.array([[10, 30], [50, 110]], np.uint8).reshape(1, 2, 2, 1)
    found = image_statistics.details(tf.constant(image)).numpy()[0]
    bands = np.array([(10 - 30 + 50 - 110) / 4, (10 + 30 - 50 - 110) / 4, (10 - 30 - 50 + 110) / 4])
    np.testing.assert_allclose(found[[0, 3, 6]], np.log(abs(bands) + 0.1), rtol=1e-5)
    assert not found[9:27].any()  # no second level, nor a third
    assert found[27] == 50.0
    np.testing.assert_allclose(found[30], np.log(image.std() + 0.1), rtol=1e-5)
    np.testing.assert_allclose(found[33:], np.log(0.003), rtol=1e-5)


def test_shares_of_flat_black_and_white():
    image = np.zeros([1, 4, 4, 3], np.uint8)
    image[0, 2:] = 255
    found = image_statistics.details(tf.constant(image)).numpy()[0, -3:]
    np.testing.assert_allclose(found, np.log([1.003, 0.503, 0.503]), rtol=1e-5)


@pytest.mark.parametrize("size", [28, 32, 5, 1, 100])
def test_cells_of_the_grid_are_means_over_intervals(size):
    """Integrals of a step function over eight equal intervals."""
    row = np.random.RandomState(0).rand(size)
    fine = row.repeat(8).reshape(8, size)  # each pixel eight times, so that every edge falls on one
    np.testing.assert_allclose(image_statistics._averages(size) @ row, fine.mean(axis=1), rtol=1e-5)


def test_layout_forgets_contrast_and_brightness():
    images = _images(3, 16, 16, 3).astype(int) // 2
    pair = [tf.constant(x.astype(np.uint8)) for x in (images, images + 60)]
    layout = [image_statistics.layout(x).numpy() for x in pair]
    np.testing.assert_allclose(layout[0], layout[1], atol=1e-5)
    assert layout[0].shape == (3, image_statistics.NUM_LAYOUT)


@pytest.mark.parametrize("shape", [(28, 28, 1), (7, 5, 3), (1, 1, 1), (2, 9, 2), (6, 6, 7)])
def test_any_shape(shape):
    images = _images(4, *shape)
    for function, size in (
        (image_statistics.details, image_statistics.NUM_DETAILS),
        (image_statistics.layout, image_statistics.NUM_LAYOUT),
    ):
        found = function(tf.constant(images)).numpy()
        assert found.shape == (4, size) and np.isfinite(found).all()


@pytest.mark.parametrize("shape", [(8, 8, 3), (5, 7, 1), (1, 9, 2), (1, 1, 1)])
def test_smaller_images_are_means_of_blocks(shape):
    images = _images(3, *shape)
    half, quarter = (x.numpy() for x in image_statistics.smaller(tf.constant(images)))
    height, width = (max(side // 2, 1) for side in shape[:2])
    for i, j in np.ndindex(height, width):
        block = images[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean(axis=(1, 2))
        assert (abs(half[:, i, j] - block) <= 0.5).all()
    assert quarter.shape[1:3] == (max(height // 2, 1), max(width // 2, 1))
