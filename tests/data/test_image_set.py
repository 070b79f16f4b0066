"""An `ImageSet` is frozen, contiguous, and refuses what are no images."""

import numpy as np
import pytest

from tests.data.images import grey_images, write_npz
from tfp_flows import data


def test_image_set_is_frozen_and_contiguous(tmp_path, rng):
    name = write_npz(tmp_path / "a.npz", train=grey_images(rng, 5), test=grey_images(rng, 5))
    images = data.load(f"{name}@crop=3@rgb").images
    assert images.dtype == np.uint8 and images.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


@pytest.mark.parametrize(
    "images, labels, keys, message",
    [
        (np.zeros([2, 3, 3]), None, "ab", "uint8 array"),
        (np.zeros([0, 3, 3, 1], np.uint8), None, "", "non-empty"),
        (np.zeros([2, 3, 3, 1], np.uint8), None, "a", "2 images but 1 keys"),
        (np.zeros([2, 3, 3, 1], np.uint8), np.zeros([3], int), "ab", "labels must be integers"),
        (np.zeros([2, 3, 3, 1], np.uint8), np.zeros([2]), "ab", "labels must be integers"),
    ],
)
def test_image_set_refuses(images, labels, keys, message):
    with pytest.raises(data.DataError, match=message):
        data.ImageSet("mine", "test", images, labels, tuple(keys))


def test_image_set_leaves_the_callers_array_writable():
    mine = np.zeros([2, 3, 3, 1], np.uint8)
    data.ImageSet("mine", "test", mine, None, ("a", "b"))
    mine[0] = 1
