"""Many images as one."""

import numpy as np


def grid(images: np.ndarray, columns: int) -> np.ndarray:
    """Images side by side and below one another, with gaps that show the ground.

    Args:
      images: uint8 `[N, H, W, C]`, C 1 or 3; other numbers of channels show their mean.
      columns: Images side by side.

    Returns:
      uint8 `[height, width, 4]`: red, green, blue and opacity, which is 0 between the images.
    """
    count, height, width, channels = images.shape
    rows = int(np.ceil(count / columns))
    if channels not in (1, 3):
        images = images.mean(axis=-1, keepdims=True).astype(np.uint8)
    gap = max(1, round(0.04 * width))
    found = np.zeros([rows * (height + gap) - gap, columns * (width + gap) - gap, 4], np.uint8)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        top, left = row * (height + gap), column * (width + gap)
        found[top : top + height, left : left + width, :3] = image
        found[top : top + height, left : left + width, 3] = 255
    return found
