"""Folders as people have them: pictures of every size, format and mode."""

import numpy as np
from PIL import Image

FORMATS = (".png", ".JPG", ".webp", ".bmp", ".tiff", ".jfif", ".jpe", ".gif")


def photo(rng, height, width):
    """Smooth colours, as a PIL image."""
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def write_photos(root, count=40, formats=FORMATS, seed=0):
    """Photographs of mixed sizes; a GIF has a palette. Returns the folder's name."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        height, width = rng.integers(10, 30, 2)
        photo(rng, height, width).save(root / f"{index:03d}{formats[index % len(formats)]}")
    return f"folder:{root}"


def truncated(path):
    """Cuts a file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
