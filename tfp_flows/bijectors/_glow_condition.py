"""A condition of a flow over images: paired with its images, and given to each level at its resolution."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_flows.checks.errors import UserError


def broadcast(
    condition: tf.Tensor | npt.ArrayLike,
    images: tf.Tensor,
    image_shape: tuple[int, int, int],
    size: int,
    owner: str,
) -> tf.Tensor:
    """`condition` with the batch shape of `images` in front.

    Args:
      condition: Tensor, array or list, `[..., K]` or `[..., H, W, K]`. The axes in front are broadcast
        against the batch from the right.
      images: `batch + [H, W, C]`, of either side of the flow.
      image_shape: (H, W, C).
      size: K.
      owner: Name of the flow, for messages.

    Returns:
      Tensor `batch + [K]` or `batch + [H, W, K]`, of the dtype of `images`.

    Raises:
      ValueError: If `condition` has another dtype, or a shape that is not of this kind.
    """
    given = condition if tf.is_tensor(condition) else np.asarray(condition)
    given = tf.convert_to_tensor(given, dtype_hint=images.dtype)
    if given.dtype != images.dtype:
        if tf.is_tensor(condition):
            raise UserError(
                f"{owner}: `condition` must have the dtype of the images, {images.dtype.name}, got a tensor "
                f"of {given.dtype.name}."
            )
        given = tf.cast(given, images.dtype)
    batch = images.shape[:-3]
    shape = given.shape
    own = [*image_shape[:2], size] if _is_map(shape, batch, image_shape) else [size]
    front = shape[: shape.rank - len(own)] if shape.rank else None
    if front is None or shape[-len(own) :] != own or not _broadcasts(front, batch):
        raise UserError(
            f"{owner}: `condition` must have shape [..., {size}] or [..., {image_shape[0]}, {image_shape[1]}"
            f", {size}], with axes in front that broadcast against the batch {tuple(batch)} of images "
            f"{tuple(images.shape)}, got {tuple(shape)}."
        )
    target = tf.concat([tf.shape(images)[:-3], own], 0)
    return tf.ensure_shape(tf.broadcast_to(given, target), batch.concatenate(own))


def per_level(condition: tf.Tensor, images_rank: int, levels: int) -> list[tf.Tensor]:
    """What each level is given: a vector as it is, of a map the means over blocks of 2, 4, ... pixels."""
    found = []
    for _ in range(levels):
        if condition.shape.rank == images_rank:
            condition = _halved(condition)
        found.append(condition)
    return found


def _is_map(shape: tf.TensorShape, batch: tf.TensorShape, image_shape: tuple[int, int, int]) -> bool:
    """Whether there is one for each pixel; a vector for each image of a batch [..., H, W] is none."""
    if shape.rank is None or shape.rank < 3:
        return False
    return shape[-3:-1] == list(image_shape[:2]) and shape[:-1] != batch


def _broadcasts(front: tf.TensorShape, batch: tf.TensorShape) -> bool:
    """Whether `front` can be broadcast to `batch` from the right, as far as sizes are known."""
    if len(front) > len(batch):
        return False
    aligned = batch[len(batch) - len(front) :]
    return all(
        size in (1, None) or other in (size, None) for size, other in zip(front, aligned, strict=True)
    )


def _halved(image: tf.Tensor) -> tf.Tensor:
    """Means over the 2 x 2 blocks of `[..., H, W, K]`."""
    height, width, channels = image.shape[-3:]
    blocks = [height // 2, 2, width // 2, 2, channels]
    value = tf.reduce_mean(tf.reshape(image, tf.concat([tf.shape(image)[:-3], blocks], 0)), axis=(-4, -2))
    return tf.ensure_shape(value, image.shape[:-3].concatenate([height // 2, width // 2, channels]))
