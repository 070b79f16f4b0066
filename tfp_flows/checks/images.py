"""Whether what was given can be images: the one place that asks, and that says what was wrong.

An image is `[H, W, C]`, C = 1 or more, of integer grey levels 0..255 in any dtype of numbers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_flows.checks.errors import UserError

LARGEST_LEVEL = 255


def check_image_shape(image_shape: Sequence[int] | tf.TensorShape, owner: str) -> tuple[int, int, int]:
    """`image_shape` as a tuple of three positive integers.

    Args:
      image_shape: (H, W, C), or what should be.
      owner: Who asks, the first word of the message.

    Raises:
      UserError: If it is none.
    """
    shape = tuple(tf.TensorShape(image_shape).as_list())
    if len(shape) != 3 or None in shape or min(shape) < 1:
        raise UserError(f"{owner}: `image_shape` must be (height, width, channels), got {image_shape}.")
    return shape


def check_images(
    value: npt.ArrayLike | tf.Tensor, image_shape: Sequence[int] | tf.TensorShape, owner: str
) -> tf.Tensor:
    """`value` as a tensor, if it can be integer images of this shape, of any batch shape.

    Values that are known are checked before any conversion: TFP would turn a 300 into a 44 without a word.
    Symbolic tensors of a `tf.function` are checked when it runs, but for those of uint8, which need no
    check; XLA leaves assertions out.

    Args:
      value: Array or tensor `[..., H, W, C]`.
      image_shape: (H, W, C).
      owner: Who asks, the first word of the message.

    Raises:
      UserError: If the shape differs, or a value is no integer of 0..255.
      tf.errors.InvalidArgumentError: When a graph runs on such a value.
    """
    if isinstance(value, tf.Variable):
        value = tf.convert_to_tensor(value)
    array: np.ndarray | tf.Tensor = value if tf.is_tensor(value) else np.asarray(value)
    shape = tf.TensorShape(array.shape)
    if not shape[-3:].is_compatible_with(image_shape):
        raise _wrong_shape(owner, "...", image_shape, tuple(shape), UserError)
    concrete = array if isinstance(array, np.ndarray) else tf.get_static_value(array)
    if concrete is not None:
        _check_levels(np.asarray(concrete), owner, UserError)
    tensor = tf.convert_to_tensor(array)
    if concrete is None and tensor.dtype != tf.uint8:
        return _checked_when_run(tensor, owner)
    return tensor


def check_image_batch(
    images: object,
    image_shape: Sequence[int] | None,
    owner: str,
    error: type[UserError] = UserError,
) -> np.ndarray:
    """`images` as an array uint8 `[N, H, W, C]`, if it is one of integer images.

    Args:
      images: Array, or a set of images that has one as its `images`. What lies on a disk stays there.
      image_shape: (H, W, C), or None for any.
      owner: Who asks, the first word of the message.
      error: Class of the error.

    Raises:
      UserError: Or `error`: if the shape is another, or a value is no integer of 0..255.
    """
    found: Any = getattr(images, "images", images)
    array: np.ndarray = found if _is_on_disk(found) else np.asarray(found)
    if array.ndim != 4 or (image_shape is not None and array.shape[1:] != tuple(image_shape)):
        raise _wrong_shape(owner, "N", image_shape, array.shape, error)
    if _is_on_disk(array):
        return array
    _check_levels(array, owner, error)
    return array.astype(np.uint8, copy=False)


def _is_on_disk(images: Any) -> bool:
    """Whether they are a `data.Stored` of uint8, of which rows are read when they are asked for."""
    return hasattr(images, "pieces") and getattr(images, "dtype", None) == np.uint8


def _checked_when_run(values: tf.Tensor, owner: str) -> tf.Tensor:
    exact = tf.cast(values, tf.float64)
    right = tf.reduce_all((exact >= 0) & (exact <= LARGEST_LEVEL) & (exact == tf.floor(exact)))
    message = f"{owner}: images must hold integer grey levels 0..255."
    with tf.control_dependencies([tf.debugging.Assert(right, [message])]):
        return tf.identity(values)


def _wrong_shape(
    owner: str, batch: str, image_shape: Sequence[int] | None, shape: tuple, error: type[UserError]
) -> UserError:
    wanted = "H, W, C" if image_shape is None else ", ".join(map(str, image_shape))
    return error(f"{owner}: images must have shape [{batch}, {wanted}], got {shape}.")


def _check_levels(values: np.ndarray, owner: str, error: type[UserError]) -> None:
    if values.dtype == np.uint8:
        return
    if values.dtype.kind not in "iuf":
        raise error(f"{owner}: images must be numbers 0..255, got dtype {values.dtype}.")
    wrong = ~((values >= 0) & (values <= LARGEST_LEVEL) & (values == np.floor(values)))  # a NaN is wrong too
    if wrong.any():
        more = int(wrong.sum()) - 1
        others = f" (and {more} more such values)" if more else ""
        unit = values.min() >= 0 and values.max() <= 1
        advice = "; values in [0, 1] must be made grey levels again" if unit else ""
        raise error(
            f"{owner}: images must hold integer grey levels 0..255, "
            f"got {values[wrong].ravel()[0]!s}{others}{advice}."
        )
