"""What a detector judges: images uint8 `[H, W, C]`, or vectors `[D]` of floating numbers."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows.checks.images import check_image_batch
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.hooks import Hooks


def are_vectors(shape: tuple[int, ...] | None) -> bool:
    """Whether events of this shape are vectors; False where it is not known."""
    return shape is not None and len(shape) == 1


def image_shape(shape: tuple[int, ...] | None) -> tuple[int, int, int] | None:
    """(H, W, C) of images; None of vectors, and where it is not known."""
    if shape is None or len(shape) != 3:
        return None
    height, width, channels = shape
    return height, width, channels


def dtype_of(shape: tuple[int, ...] | None, of_vectors: tf.DType) -> tf.DType:
    """The dtype in which events reach a model's graph."""
    return of_vectors if are_vectors(shape) else tf.uint8


def checked(events: Any, shape: tuple[int, ...] | None, of_vectors: tf.DType, hooks: Hooks) -> np.ndarray:
    """Events as an array, images uint8 `[N, H, W, C]` or finite vectors `[N, D]`.

    Args:
      events: Array, or a set of images; of floating numbers and two axes, they are vectors where nothing is
        known of their shape.
      shape: That of one, None if it is not known.
      of_vectors: The dtype of vectors.
      hooks: Of whom they are to be judged.

    Raises:
      DetectorError: If they have another shape, or other values; or are vectors, and it needs images.
    """
    if shape is None:
        array = getattr(events, "images", None)
        array = np.asarray(events) if array is None else array
        if array.ndim == 2 and array.dtype.kind == "f":
            shape = array.shape[1:]
    if not are_vectors(shape):
        return check_image_batch(events, shape, hooks.name, DetectorError)
    refuse_vectors(hooks)
    return _vectors(events, shape, of_vectors.as_numpy_dtype, hooks.name)


def refuse_vectors(hooks: Hooks) -> None:
    """Raises `DetectorError` where a score has no meaning for vectors."""
    if not hooks.takes_vectors:
        raise DetectorError(f"{hooks.name}: this score is for images [H, W, C], and not for vectors [D].")


def _vectors(values: Any, shape: tuple[int, ...] | None, dtype: Any, owner: str) -> np.ndarray:
    array = np.asarray(values)
    (size,) = shape or (None,)
    if array.ndim != 2 or array.shape[1:] != (size,):
        raise DetectorError(f"{owner}: vectors must have shape [N, {size}], got {array.shape}.")
    if array.dtype.kind not in "iuf":
        raise DetectorError(f"{owner}: vectors must be numbers, got dtype {array.dtype}.")
    with np.errstate(over="ignore"):
        found = array.astype(dtype, copy=False)
    bad = int(np.sum(~np.isfinite(found).all(axis=1)))
    if bad:
        raise DetectorError(
            f"{owner}: vectors must be finite {np.dtype(dtype).name} numbers, but {bad:,} of the "
            f"{len(found):,} are not."
        )
    return found
