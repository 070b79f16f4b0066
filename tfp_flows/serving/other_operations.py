"""Operations that ONNX or TensorFlow Lite lacks, made of those that both have.

They are made in a graph of TensorFlow 1's kind, where `==` compares tensors as objects: hence `tf.equal`.
"""

from collections.abc import Callable

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, types_pb2

DOUBLE, FLOAT = types_pb2.DT_DOUBLE, types_pb2.DT_FLOAT


def narrowed(value: attr_value_pb2.AttrValue) -> attr_value_pb2.AttrValue:
    """An operation's attribute, with float32 in the place of float64."""
    copy = attr_value_pb2.AttrValue()
    copy.CopyFrom(value)
    if copy.type == DOUBLE:
        copy.type = FLOAT
    if copy.HasField("list"):
        copy.list.type[:] = [FLOAT if dtype == DOUBLE else dtype for dtype in copy.list.type]
    return copy


def _broadcast_args(_: tf.Operation, one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """The shape to which two shapes are broadcast."""
    rank = max(one.shape[0], other.shape[0])
    one, other = (tf.concat([tf.ones([rank - s.shape[0]], s.dtype), s], axis=0) for s in (one, other))
    return tf.where(tf.equal(one, 1), other, one)


def _expm1(_: tf.Operation, x: tf.Tensor) -> tf.Tensor:
    """exp(x) - 1 = 2 t / (1 - t), t = tanh(x / 2), which cancels nowhere below 1."""
    half = tf.tanh(0.5 * x)
    return tf.where(x < 1.0, 2.0 * half / (1.0 - half), tf.exp(x) - 1.0)


def _log1p(_: tf.Operation, x: tf.Tensor) -> tf.Tensor:
    """log(1 + x), corrected for what 1 + x is rounded by; no branch gives what is no number."""
    small = tf.minimum(x, 1.0)
    rounded = 1.0 + small
    exact = tf.equal(rounded, 1.0)
    correction = small / tf.where(exact, tf.ones_like(small), rounded - 1.0)
    return tf.where(exact, small, tf.math.log(1.0 + x) * correction)


def _bound(compared: Callable) -> Callable:
    """How many of a row `[R, n]` in ascending order come before each value `[R, m]`."""

    def count(operation: tf.Operation, ascending: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        before = compared(tf.expand_dims(ascending, 1), tf.expand_dims(values, 2))
        return tf.reduce_sum(tf.cast(before, operation.outputs[0].dtype), axis=-1)

    return count


def _equal(_: tf.Operation, one: tf.Tensor, other: tf.Tensor) -> tf.Tensor | None:
    if one.dtype != tf.uint8:
        return None
    return tf.equal(tf.cast(one, tf.int32), tf.cast(other, tf.int32))


# Of the operation, and of its inputs; None where the operation is kept.
OTHERS: dict[str, Callable[..., tf.Tensor | None]] = {
    "BroadcastArgs": _broadcast_args,
    "Expm1": _expm1,
    "Log1p": _log1p,
    "LowerBound": _bound(tf.less),
    "UpperBound": _bound(tf.less_equal),
    "Equal": _equal,
}
