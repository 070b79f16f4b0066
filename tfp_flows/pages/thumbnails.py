"""Images as a page shows them: small PNG files whose pixels can be told apart."""

import io

import numpy as np
from PIL import Image

LARGEST = 512  # of a side; what is larger is made smaller
FEW = 160  # pixels of a side: below, they are drawn as squares


def png(image: np.ndarray) -> tuple[bytes, int, int]:
    """An image as PNG.

    Args:
      image: uint8 `[H, W, C]` or `[H, W]`; C 1 or 3, other numbers of channels show their mean.

    Returns:
      (the file, its width, its height).
    """
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[-1] != 3:
        image = image.mean(axis=-1).astype(np.uint8)
    picture = Image.fromarray(image)
    if max(picture.size) > LARGEST:
        picture.thumbnail((LARGEST, LARGEST))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue(), *picture.size
