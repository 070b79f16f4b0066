"""Log-determinants of one event, summed over a larger one, or told for each of a batch."""

import tensorflow as tf


def over_event(log_det: tf.Tensor, value: tf.Tensor, event_ndims: int, own_ndims: int) -> tf.Tensor:
    """Sums log-determinants of events of rank `own_ndims` over those of rank `event_ndims` of `value`.

    Args:
      log_det: `[..., *positions]`, or a shape that broadcasts with it.
      value: `[..., *positions, *event]`: the bijector's input or output.
      event_ndims: Rank of the larger event, positions included.
      own_ndims: Rank of the smaller event.

    Returns:
      `[...]`, or `[]` if `log_det` is a scalar: then it is the same for all of a batch.
    """
    extra = event_ndims - own_ndims
    if extra == 0:
        return log_det
    if log_det.shape.rank == 0:
        return num_positions(value, event_ndims, own_ndims) * log_det
    rank = value.shape.rank
    positions = value.shape[rank - event_ndims : rank - own_ndims]
    found = log_det.shape[-extra:]
    if len(found) < extra or any(f == 1 and p != 1 for f, p in zip(found, positions, strict=True)):
        shape = tf.shape(value)[rank - event_ndims : rank - own_ndims]
        log_det = log_det * tf.ones(shape, log_det.dtype)
    return tf.reduce_sum(log_det, axis=list(range(-extra, 0)))


def num_positions(value: tf.Tensor, event_ndims: int, own_ndims: int) -> tf.Tensor:
    """How many events of rank `own_ndims` one of rank `event_ndims` holds, in the dtype of `value`."""
    rank = value.shape.rank
    shape = value.shape[rank - event_ndims : rank - own_ndims]
    if shape.is_fully_defined():
        return tf.constant(shape.num_elements(), value.dtype)
    return tf.cast(tf.reduce_prod(tf.shape(value)[rank - event_ndims : rank - own_ndims]), value.dtype)


def over_batch(log_det: tf.Tensor, value: tf.Tensor, event_ndims: int) -> tf.Tensor:
    """`log_det` of each event in `value`: in the shape of its batch."""
    batch = value.shape[: value.shape.rank - event_ndims]
    if batch.is_fully_defined() and log_det.shape == batch:
        return log_det
    shape = tf.shape(value)[: value.shape.rank - event_ndims]
    return tf.ensure_shape(tf.broadcast_to(log_det, shape), batch)
