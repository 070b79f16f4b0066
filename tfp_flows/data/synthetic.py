"""Sets that are made, not read: constant images and noise. They take the shape of the model."""

import numpy as np

from tfp_flows.data.image_set import ImageSet

_NUM_NOISE_IMAGES = 1000


def constant_images(level: str, image_shape: tuple[int, int, int]) -> ImageSet:
    """Images of one grey level each, in every channel of every pixel.

    Args:
      level: A level "0".."255" for one image of it, or "" for 256 images, image i of level i.
      image_shape: (H, W, C).

    Returns:
      The test split; its keys are the grey levels.
    """
    levels = [int(level)] if level else range(256)
    images = np.stack([np.full(image_shape, grey, np.uint8) for grey in levels])
    keys = tuple(str(grey) for grey in levels)
    return ImageSet("constant", "test", images, None, keys)


def noise_images(image_shape: tuple[int, int, int]) -> ImageSet:
    """1000 images of independent grey levels, uniform over 0..255, always the same ones.

    Args:
      image_shape: (H, W, C).

    Returns:
      The test split; its keys are indices.
    """
    images = np.random.RandomState(0).randint(0, 256, (_NUM_NOISE_IMAGES, *image_shape), dtype=np.uint8)
    return ImageSet("noise", "test", images, None, tuple(map(str, range(_NUM_NOISE_IMAGES))))
