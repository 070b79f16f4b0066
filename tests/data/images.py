"""Images and files of images for the tests of the data loader."""

import numpy as np
import pytest
from PIL import Image

from tfp_flows import data


def grey_images(rng, n, height=6, width=5, channels=1, low=0, high=256):
    return rng.integers(low, high, (n, height, width, channels), dtype=np.uint8)


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return f"npz:{path}"


def write_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def error_of(*args, **kwargs):
    """The message of the `DataError` that loading raises, which must be one line."""
    with pytest.raises(data.DataError) as caught:
        data.load(*args, **kwargs)
    message = str(caught.value)
    assert message and "\n" not in message
    return message
