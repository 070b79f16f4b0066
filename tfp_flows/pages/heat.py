"""Heat maps over images, drawn without matplotlib."""

import numpy as np

COOL, WARM = np.array([33.0, 102.0, 172.0]), np.array([178.0, 24.0, 43.0])  # below and above 0
STRONGEST = 0.75  # opacity


def overlays(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Images in grey; what raises the score is red, what lowers it blue, on one scale for all of them.

    Args:
      images: uint8 `[N, H, W, C]`.
      maps: `[N, H, W]`; a value that is no number counts as 0.

    Returns:
      uint8 `[N, H, W, 3]`.
    """
    values = np.nan_to_num(np.asarray(maps, np.float64), nan=0.0)
    limit = max(float(np.quantile(np.abs(values), 0.99)), 1e-12)
    strength = np.clip(values / limit, -1, 1)[..., np.newaxis]
    grey = np.repeat(images.mean(axis=-1, keepdims=True), 3, axis=-1)
    colour = np.where(strength > 0, WARM, COOL)
    opacity = STRONGEST * np.abs(strength)
    return np.rint((1 - opacity) * grey + opacity * colour).astype(np.uint8)
