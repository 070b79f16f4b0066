"""Quantities by position of an image, `[..., H, W, T]`: T terms, spread evenly or at another resolution.

All keep the sum over positions, up to rounding.
"""

from collections.abc import Sequence

import tensorflow as tf


def evenly(total: tf.Tensor, positions: Sequence[int]) -> tf.Tensor:
    """The same share of `total` `[...]` for each position: `[..., H, W, 1]`.

    Args:
      total: Floating tensor.
      positions: (H, W).
    """
    height, width = positions
    share = total / tf.cast(height * width, total.dtype)
    return share[..., tf.newaxis, tf.newaxis, tf.newaxis] * tf.ones([height, width, 1], total.dtype)


def resampled(values: tf.Tensor, positions: Sequence[int]) -> tf.Tensor:
    """`values` `[..., h, w, T]` at another resolution: `[..., H, W, T]`.

    A position that covers several new ones is spread evenly over them, as a latent position covers a block
    of pixels; several that fall into one are summed. Where H and h, or W and w, divide in neither way, all
    is spread evenly.

    Args:
      values: Floating tensor of known h, w and T.
      positions: (H, W).
    """
    wanted_height, wanted_width = positions
    height, width, terms = values.shape[-3:]
    if any(a % b and b % a for a, b in ((height, wanted_height), (width, wanted_width))):
        totals = tf.reduce_sum(values, axis=[-3, -2], keepdims=True)
        return totals / (wanted_height * wanted_width) * tf.ones([*positions, 1], values.dtype)
    for axis, size, wanted in ((-3, height, wanted_height), (-2, width, wanted_width)):
        if wanted > size:
            values = tf.repeat(values, wanted // size, axis=axis) / tf.cast(wanted // size, values.dtype)
    rows, columns = max(height // wanted_height, 1), max(width // wanted_width, 1)
    if rows * columns > 1:
        shape = [wanted_height, rows, wanted_width, columns, terms]
        values = tf.reduce_sum(
            tf.reshape(values, tf.concat([tf.shape(values)[:-3], shape], 0)), axis=[-4, -2]
        )
    return values


def added(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """The sum of two maps of as many terms as the larger has: those that one lacks are 0 there."""
    count = max(one.shape[-1], other.shape[-1])
    return _with_terms(one, count) + _with_terms(other, count)


def _with_terms(values: tf.Tensor, count: int) -> tf.Tensor:
    missing = count - values.shape[-1]
    return tf.pad(values, [[0, 0]] * (values.shape.rank - 1) + [[0, missing]]) if missing else values
