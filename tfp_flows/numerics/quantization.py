"""Integer images and continuous densities: dequantisation and bits per dimension.

The one place where the step from grey levels 0..255 to the unit interval is made; training,
evaluation and export all come here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

NUM_LEVELS = 256


def bits_per_dim(log_prob: tf.Tensor | np.ndarray, image_shape: Sequence[int]) -> tf.Tensor | np.ndarray:
    """Negative log-likelihood in bits per dimension: -log_prob / (H * W * C * ln 2).

    Args:
      log_prob: Log-probability of integer images in nats, any shape.
      image_shape: (H, W, C).

    Returns:
      The same shape as `log_prob`, in bits; 8 for a model that knows nothing.
    """
    return -log_prob / (np.prod(image_shape) * np.log(2.0))


def dequantize(images: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """y = (x + u) / 256 in [0, 1).

    Args:
      images: Integer grey levels 0..255, any dtype.
      noise: Uniform in [0, 1), floating, broadcasts against `images`.

    Returns:
      Floating tensor of `noise`'s dtype.
    """
    y = (tf.cast(images, noise.dtype) + noise) / NUM_LEVELS
    return tf.minimum(y, largest_below_one(noise.dtype))  # 255 + u may have been rounded to 256


def largest_below_one(dtype: tf.DType) -> Any:
    """The largest number of a floating dtype that is smaller than 1."""
    number = dtype.as_numpy_dtype
    return np.nextafter(number(1), number(0))


def quantize(values: tf.Tensor) -> tf.Tensor:
    """floor(256 * y), clipped to 0..255: the grey levels that `dequantize` came from.

    What is not finite becomes 0: a few samples of an affine flow overflow, where the inverse of its scale is
    large (Behrmann et al. 2021, https://arxiv.org/abs/2006.09347).
    """
    grey = tf.clip_by_value(tf.floor(values * NUM_LEVELS), 0.0, NUM_LEVELS - 1.0)
    return tf.where(tf.math.is_finite(values), grey, tf.zeros_like(grey))
