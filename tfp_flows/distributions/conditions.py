"""Vectors that a density of images is given: one for all images, or one for each."""

from typing import Any

import tensorflow as tf

from tfp_flows.checks import counts
from tfp_flows.checks.errors import UserError


def check_size(size: object, owner: str) -> int:
    """`size`, of a condition, as a Python `int`; raises `UserError` unless it is one of 0 or more."""
    number = counts.whole(size, 0)
    if number is None:
        raise UserError(
            f"{owner}: `condition_size` must be a positive integer, or 0 for none, got {size!r}."
        )
    return number


def checked(condition: Any, size: int, dtype: tf.DType, owner: str) -> tf.Tensor | None:
    """A condition `[..., size]` as a tensor of `dtype`; None where `size` is 0.

    Args:
      condition: `[..., size]`; None where `size` is 0.
      size: K; 0 for a model that is given nothing.
      dtype: Of the model.
      owner: Its name, for messages.

    Raises:
      UserError: If `condition` is missing, has another size, or there should be none.
    """
    if (condition is None) != (size == 0):
        wanted = f"`condition` [N, {size}]" if size else "no `condition`"
        raise UserError(f"{owner}: this model takes {wanted}.")
    if condition is None:
        return None
    condition = tf.cast(tf.convert_to_tensor(condition), dtype)
    if condition.shape.rank == 0 or condition.shape[-1] != size:
        raise UserError(
            f"{owner}: `condition` must have shape [N, {size}], got {condition.shape}; class labels go "
            f"through tf.one_hot."
        )
    return condition


def vectors(
    condition: Any, size: int, count: int | tf.Tensor, dtype: tf.DType, owner: str
) -> tf.Tensor | None:
    """A condition as `[count, size]`: one vector for all images, or one for each.

    Args:
      condition: `[..., size]`, of `count` rows in all or of one; None where `size` is 0.
      size: As for `checked`.
      count: Images.
      dtype: As for `checked`.
      owner: Likewise.

    Returns:
      The vectors; None where `size` is 0.

    Raises:
      UserError: As `checked`, or if there are neither one nor `count`.
    """
    condition = checked(condition, size, dtype, owner)
    if condition is None:
        return None
    condition = tf.reshape(condition, [-1, size])
    rows, known = condition.shape[0], tf.get_static_value(tf.convert_to_tensor(count))
    if known is not None and rows not in (None, 1, known):
        raise UserError(
            f"{owner}: there are {known} images, but `condition` has {rows} rows; give one for all or one "
            f"for each."
        )
    return tf.broadcast_to(condition, [count, size])
