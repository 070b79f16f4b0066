"""Images and histograms as one picture each, for TensorBoard."""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

_SIDE = 64  # pixels, at least, of an image that is shown; smaller ones are enlarged by whole numbers
_GAP = 2
_GROUND = 128


def grid(images: np.ndarray, columns: int) -> np.ndarray:
    """Images side by side, row by row.

    Args:
      images: uint8 `[n, H, W, C]`; other numbers of channels than 1 and 3 show their mean.
      columns: In a row.

    Returns:
      uint8 `[height, width, 1 or 3]`.
    """
    if images.shape[-1] not in (1, 3):
        images = images.mean(axis=-1, keepdims=True).round().astype(np.uint8)
    scale = max(1, -(-_SIDE // min(images.shape[1:3])))
    large = images.repeat(scale, axis=1).repeat(scale, axis=2)
    count, height, width, channels = large.shape
    rows = -(-count // columns)
    found = np.full(
        [rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels], _GROUND, np.uint8
    )
    for i, image in enumerate(large):
        top, left = i // columns * (height + _GAP), i % columns * (width + _GAP)
        found[top : top + height, left : left + width] = image
    return found


def pairs(above: np.ndarray, below: np.ndarray, columns: int) -> np.ndarray:
    """As `grid`, with a row of `below` under each row of `above`, both uint8 `[n, H, W, C]`."""
    starts = range(0, len(above), columns)
    rows = [row for start in starts for row in (_row(above, start, columns), _row(below, start, columns))]
    return grid(np.concatenate(rows), columns)


def histograms(bits_per_dim: Mapping[str, np.ndarray], title: str) -> np.ndarray:
    """Overlaid histograms of likelihoods, uint8 `[H, W, 3]`; see `pictures.likelihood_histograms`."""
    from tfp_flows.pages import pictures  # here: matplotlib takes half a second

    file = io.BytesIO()
    pictures.likelihood_histograms(file, bits_per_dim, title)
    return np.asarray(Image.open(file).convert("RGB"))


def _row(images: np.ndarray, start: int, columns: int) -> np.ndarray:
    """The images from `start` on that fill a row; what is missing is grey."""
    found = images[start : start + columns]
    missing = np.full([columns - len(found), *images.shape[1:]], _GROUND, np.uint8)
    return np.concatenate([found, missing])
