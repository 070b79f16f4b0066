"""A condition of a flow: paired with the events it belongs to, or refused; per level in a Glow."""

from collections.abc import Sequence

import numpy.typing as npt
import tensorflow as tf

from tfp_flows.checks.errors import UserError


def broadcast(
    condition: tf.Tensor | npt.ArrayLike,
    x: tf.Tensor,
    event_ndims: int,
    size: int | None,
    owner: str,
    positions: Sequence[int | None] | None = None,
    argument: str = "condition",
    channels: int | None = None,
) -> tf.Tensor:
    """`condition` with the batch shape of `x` in front.

    What a condition has of its own is a vector `[K]`, or a vector for each position, `[H, W, K]`. The axes
    before it are broadcast against the batch from the right: five images for each of three labels, x of
    batch `[5, 3]`, go with a condition `[3, K]`. Integers that no K is known for are labels `[...]`.

    Args:
      condition: Tensor, array or list, `[..., K]` or `[..., *positions, K]`; where both can be meant, it is
        a map if it has the very positions of `x` and a vector if it has its very batch. Arrays and lists
        are converted to the dtype of `x`; a floating tensor must have it already.
      x: `batch + [*positions, C]`, of either side of the flow.
      event_ndims: Rank of an event.
      size: K, None if it is not known.
      owner: Name of the flow, for messages.
      positions: (H, W), those of `x` if None.
      argument: Name of the condition, for messages.
      channels: How many channels the flow's own input has, for messages, where `x` is a part of it.

    Returns:
      Tensor `batch + [K]` or `batch + [*positions, K]`, of the dtype of `x`; labels `batch`.

    Raises:
      ValueError: If `condition` has another dtype, or a shape that is not of this kind.
    """
    given = _as_tensor(condition, x.dtype, size, owner, argument)
    num_batch = x.shape.rank - event_ndims
    batch = x.shape[:num_batch]
    at = tf.TensorShape(x.shape[num_batch:-1] if positions is None else positions)
    own_ndims = _own_ndims(given, batch, at, size)
    if own_ndims is None:
        shape = [*x.shape[:-1], channels or x.shape[-1]]
        wanted = _wanted(given, shape, batch, at, size)
        raise UserError(f"{owner}: `{argument}` must have shape {wanted}.")
    own = tf.TensorShape([]) if own_ndims == 0 else at[: own_ndims - 1].concatenate(size or given.shape[-1])
    target = batch.concatenate(own)
    if target.is_fully_defined():
        return given if given.shape == target else tf.broadcast_to(given, target)
    sizes = [tf.shape(x)[:num_batch]]
    if own_ndims:
        rows = at.as_list() if at.is_fully_defined() else tf.shape(x)[num_batch:-1]
        sizes += [rows[: own_ndims - 1], tf.shape(given)[-1:]]
    return tf.ensure_shape(tf.broadcast_to(given, tf.concat(sizes, 0)), target)


def per_level(condition: tf.Tensor, images_rank: int, levels: int) -> list[tf.Tensor]:
    """What each level is given: a vector as it is, of a map the means over blocks of 2, 4, ... pixels."""
    found = []
    for _ in range(levels):
        if condition.shape.rank == images_rank:
            condition = _halved(condition)
        found.append(condition)
    return found


def _as_tensor(
    condition: tf.Tensor | npt.ArrayLike, dtype: tf.DType, size: int | None, owner: str, argument: str
) -> tf.Tensor:
    """`condition` in `dtype`; but integers and booleans stay what they are where no size is known."""
    is_tensor = tf.is_tensor(condition)
    try:
        hint = None if hasattr(condition, "dtype") else dtype  # a list's numbers are what x's are
        given = tf.convert_to_tensor(condition, dtype_hint=hint)
    except (TypeError, ValueError) as error:
        raise UserError(f"{owner}: `{argument}` must be numbers, equally many in each row.") from error
    kept = size is None and (given.dtype.is_integer or given.dtype.is_bool)
    if kept or given.dtype == dtype:
        return given
    if is_tensor:
        raise UserError(
            f"{owner}: `{argument}` must have the dtype of the images, {dtype.name}, got a tensor of "
            f"{given.dtype.name}."
        )
    if not (given.dtype.is_floating or given.dtype.is_integer or given.dtype.is_bool):
        raise UserError(f"{owner}: `{argument}` must be numbers, got {given.dtype.name}.")
    return tf.cast(given, dtype)


def _own_ndims(
    given: tf.Tensor, batch: tf.TensorShape, positions: tf.TensorShape, size: int | None
) -> int | None:
    """How many axes are the condition's own: 0 for a label, 1 for a vector, all for a map; None if unfit."""
    shape = given.shape
    if shape.rank is None:
        return None
    if given.dtype.is_integer:
        return 0 if _broadcasts(shape, batch) else None
    if shape.rank == 0 or not tf.TensorShape([size]).is_compatible_with(shape[-1:]):
        return None
    vector = _broadcasts(shape[:-1], batch)
    front = shape.rank - 1 - len(positions)
    at = shape[front:-1] if front >= 0 else None
    map_fits = at is not None and _broadcasts(at, positions) and _broadcasts(shape[:front], batch)
    if map_fits and vector:
        vector = len(positions) == 0 or at != positions or shape[:-1] == batch
    return 1 if vector else 1 + len(positions) if map_fits else None


def _wanted(
    given: tf.Tensor,
    shape: list[int | None],
    batch: tf.TensorShape,
    positions: tf.TensorShape,
    size: int | None,
) -> str:
    """What a condition must be that is not, and both shapes."""
    of_vector = [size or "K"]
    of_map = [*positions.as_list(), *of_vector]
    shapes = [] if given.dtype.is_integer else [of_vector] if of_map == of_vector else [of_vector, of_map]
    wanted = " or ".join(f"[..., {', '.join(map(str, own))}]" for own in shapes)
    found = "an unknown one" if given.shape.rank is None else tuple(given.shape)
    kind = "images" if len(positions) == 2 else "inputs"
    return (
        f"{wanted or '[...] (integers are labels)'}, with axes in front that broadcast against the batch "
        f"{tuple(batch)} of {kind} {tuple(shape)}, got {found}"
    )


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
