"""The paper's own sets, small: images of FashionMNIST and MNIST that come with the package.

`fashion_mnist_small`: 8,500 images of FashionMNIST in four splits of its own, three of them drawn from the
official training images, the last from the official test images.
`mnist_small`: 1,000 of MNIST's test images, to compare with; a test split and no other.

Each split is a sheet, SET-SPLIT.png: its images side by side, 50 in a row, from left to right and from
above; what is known of them (keys, labels) stands as JSON in the PNG's text "about". `tools.small_sets`
draws them; whose they are, and on what terms, is in README.md and the licences beside them.
"""

import functools
import importlib.resources
import io
import json
import zlib
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import SPLITS, ImageSet

SMALL_SPLITS = {"fashion_mnist_small": SPLITS, "mnist_small": ("test",)}
SIZE, COLUMNS = 28, 50
ABOUT = "about"


def small_set(name: str, split: str) -> ImageSet:
    """One split of a small set, in the order in which it was drawn, which is one of chance.

    Args:
      name: One of `SMALL_SPLITS`.
      split: One of `SPLITS`.

    Returns:
      The images, `uint8 [N, 28, 28, 1]`, with labels 0..9; a key is that of the image in the TFDS set.

    Raises:
      DataError: If the set has no such split, or its file is damaged.
    """
    has = SMALL_SPLITS[name]
    if split not in has:
        raise DataError(f"{name}: has only a {has[0]} split, no {split} split")
    images, about = _unpacked(f"{name}-{split}.png")
    labels = np.array(about["labels"], np.int64)
    return ImageSet(name, split, images, labels, tuple(about["keys"]), label_names=tuple(about["classes"]))


def pack(images: np.ndarray, about: dict[str, Any]) -> bytes:
    """A sheet as PNG.

    Args:
      images: uint8 `[N, 28, 28, 1]`, N a multiple of `COLUMNS`.
      about: What is known of them, JSON-ready.
    """
    rows = images.reshape(-1, COLUMNS, SIZE, SIZE).transpose(0, 2, 1, 3)
    text, file = PngImagePlugin.PngInfo(), io.BytesIO()
    text.add_text(ABOUT, json.dumps(about, separators=(",", ":")), zip=True)
    sheet = Image.fromarray(np.ascontiguousarray(rows.reshape(-1, COLUMNS * SIZE)))
    sheet.save(file, "PNG", optimize=True, pnginfo=text)
    return file.getvalue()


def unpack(content: bytes) -> tuple[np.ndarray, dict[str, Any]]:
    """The reverse of `pack`."""
    with Image.open(io.BytesIO(content), formats=["PNG"]) as sheet:
        pixels, about = np.asarray(sheet), json.loads(sheet.text[ABOUT])  # type: ignore[attr-defined]
    rows = pixels.reshape(-1, SIZE, COLUMNS, SIZE).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(rows).reshape(-1, SIZE, SIZE, 1), about


def clear_cache() -> None:
    """Forgets the sheets that are kept for the next call."""
    _unpacked.cache_clear()


@functools.lru_cache(maxsize=len(SPLITS) + 1)
def _unpacked(file: str) -> tuple[np.ndarray, dict[str, Any]]:
    place = importlib.resources.files("tfp_flows.data") / "small" / file
    try:
        return unpack(place.read_bytes())
    except (OSError, ValueError, KeyError, SyntaxError, zlib.error) as error:
        raise DataError(f"{place}: cannot be read ({error}): install the package again") from error
