"""Checks of arguments that many rooms share: counts, dtypes, shapes, and values of tensors.

Each raises `UserError` and names the argument in backquotes and its owner, a bijector or distribution. What
can only be known when a graph runs raises `tf.errors.InvalidArgumentError` with the same words.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_flows.checks import counts
from tfp_flows.checks.errors import UserError

_EVENTS = {
    1: "vectors [..., channels]",
    2: "sequences [..., length, channels]",
    3: "images [..., height, width, channels]",
}


def check_floating(dtype: tf.DType | npt.DTypeLike, owner: str) -> tf.DType:
    """Returns `dtype` as a `tf.DType`; raises `UserError` unless it is a floating type."""
    try:
        found = tf.as_dtype(dtype)
    except TypeError as error:
        raise UserError(f"{owner}: `dtype` must be a floating type, got {dtype!r}.") from error
    if not found.is_floating:
        raise UserError(f"{owner}: `dtype` must be a floating type, got {found.name}.")
    return found


def check_dtype(x: object, dtype: tf.DType | None, owner: str) -> None:
    """Raises `UserError` if `x` is a tensor of another dtype than `dtype` (None: any)."""
    found = getattr(x, "dtype", None)
    if dtype is not None and tf.is_tensor(x) and found != dtype:
        raise UserError(
            f"{owner}: the input must have dtype={tf.as_dtype(dtype).name}, "
            f"got a tensor of {tf.as_dtype(found).name}."
        )


def check_channels(x: tf.Tensor, num_channels: int, owner: str) -> None:
    """Raises `UserError` unless the last axis of `x` has `num_channels` entries."""
    if x.shape.rank is None:
        return
    if x.shape.rank < 1 or x.shape[-1] not in (None, num_channels):
        raise UserError(
            f"{owner}: the last axis of the input must have num_channels={num_channels} entries, "
            f"got an input of shape {tuple(x.shape)}."
        )


def check_event(x: tf.Tensor, event_ndims: int, owner: str) -> None:
    """Raises `UserError` unless the rank of `x` is known and at least `event_ndims`."""
    if x.shape.rank is None:
        raise UserError(
            f"{owner}: the input must have a known rank, got a tensor of unknown shape; "
            f"tf.ensure_shape gives it one."
        )
    if x.shape.rank < event_ndims:
        wanted = _EVENTS.get(event_ndims, f"of at least {event_ndims} axes")
        raise UserError(f"{owner}: the input must be {wanted}, got shape {tuple(x.shape)}.")


def check_shape(value: Any, shape: list[int], argument: str, owner: str) -> None:
    """Raises `UserError` unless `value`, a variable, tensor or array, can have exactly this shape."""
    found = tf.TensorShape(value.shape if tf.is_tensor(value) else np.shape(value))
    if not found.is_compatible_with(shape):
        raise UserError(f"{owner}: `{argument}` must have shape {tuple(shape)}, got {tuple(found)}.")


def check_count(value: object, argument: str, owner: str) -> int:
    """Returns `value` as a Python `int`; raises `UserError` unless it is a positive integer."""
    count = counts.whole(value, 1)
    if count is None:
        raise UserError(f"{owner}: `{argument}` must be {counts.wanted(1)}, got {value!r}.")
    return count


def check_one_of(value: object, choices: tuple[str, ...], argument: str, owner: str) -> str:
    """Returns `value`; raises `UserError` unless it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise UserError(f"{owner}: `{argument}` must be one of {choices}, got {value!r}.")
    return value


def holds(condition: tf.Tensor, message: str) -> tf.Operation | None:
    """Asserts a boolean scalar: now where TensorFlow runs eagerly, else whenever the graph runs.

    Returns:
      The assertion, an operation to depend on, or None where it has been made.

    Raises:
      UserError: If the condition is false and known to be.
    """
    if tf.executing_eagerly():
        if not bool(condition):
            raise UserError(message)
        return None
    return tf.debugging.Assert(condition, [message])


def ensure(value: tf.Tensor, condition: tf.Tensor, message: str) -> tf.Tensor:
    """`value`, which is there only where `condition` holds; see `holds`."""
    assertion = holds(condition, message)
    if assertion is None:
        return value
    with tf.control_dependencies([assertion]):
        return tf.identity(value)


def ensure_finite(x: tf.Tensor, argument: str, owner: str) -> tf.Tensor:
    """`x`, which is there only where it has neither NaN nor an infinity; integers pass."""
    if not x.dtype.is_floating:
        return x
    condition = tf.reduce_all(tf.math.is_finite(x))
    return ensure(x, condition, f"{owner}: {argument} must be finite, but holds NaN or an infinity.")
