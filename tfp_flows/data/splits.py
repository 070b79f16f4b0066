"""How a source's training images are divided into train, validation and calibration.

The random streams here are `np.random.RandomState`'s, which NumPy has frozen: the division is the
same with every version of NumPy. (Those of `np.random.Generator` may change.)
"""

import numpy as np

from tfp_flows.data.errors import DataError

_MAX_HELD_OUT = 5000
_HELD_OUT_FRACTION = 20
_MIN_IMAGES = 3


def divide_training_images(num_images: int, name: str) -> dict[str, np.ndarray]:
    """Divides n training images by a fixed permutation, which depends on n alone.

    Validation and calibration get max(1, min(5000, n // 20)) images each, train gets the rest. The
    indices are in permuted order, so the first images of a split are a fair sample of it, even
    where the source is sorted by class.

    Args:
      num_images: n, the number of training images of the source.
      name: The source, for the message.

    Returns:
      The int64 indices of "train", "validation" and "calibration": disjoint, together 0..n-1.

    Raises:
      DataError: If n < 3.
    """
    if num_images < _MIN_IMAGES:
        raise DataError(
            f"{name}: {num_images} training image(s) cannot be divided into train, validation and "
            f"calibration: give at least {_MIN_IMAGES}"
        )
    held_out = max(1, min(_MAX_HELD_OUT, num_images // _HELD_OUT_FRACTION))
    order = np.random.RandomState(0).permutation(num_images).astype(np.int64)
    return {
        "validation": order[:held_out],
        "calibration": order[held_out : 2 * held_out],
        "train": order[2 * held_out :],
    }
