"""Building and calling the network that conditions a coupling or a factor-out."""

import numpy as np
import tensorflow as tf

from tfp_flows.checks.errors import UserError

SCALES = ("sigmoid", "exp")


def build(factory, in_channels, out_channels, owner):
    """Calls `factory(in_channels, out_channels)` and checks what it made.

    Raises:
      ValueError: If `factory` is not callable, or makes something that is not, or a Keras 3 layer.
    """
    if not callable(factory):
        raise UserError(
            f"{owner}: `network` must be a factory, called as network(in_channels, out_channels), "
            f"got {factory!r}."
        )
    network = factory(in_channels, out_channels)
    if not callable(network):
        raise UserError(
            f"{owner}: `network` must be a factory that returns a callable, "
            f"but network({in_channels}, {out_channels}) returned {network!r}."
        )
    if any(base.__module__.split(".")[0] == "keras" for base in type(network).__mro__):
        raise UserError(
            f"{owner}: `network` made the Keras 3 object {type(network).__name__}, whose variables a "
            f"tf.Module does not see: they would never be trained. Use tf_keras (Keras 2) or tf.Module."
        )
    return network


def reuse(network):
    """A factory that returns the network that is already there, for `copy()`."""
    return lambda in_channels, out_channels: network


def call(network, x, out_channels, event_ndims, conditioning, owner):
    """Calls `network` on `x` flattened to one batch axis, `[N] + event`.

    Tensors and arrays in `conditioning` have the batch shape of `x` in front and are flattened alike;
    anything else is passed on as it is.

    Returns:
      A tensor with the batch and event shape of `x`, but `out_channels` in the last axis.

    Raises:
      ValueError: If the network returns another shape or dtype.
    """
    batch_ndims = x.shape.rank - event_ndims
    if batch_ndims == 1:
        value = network(x, **conditioning)
        _check_output(value, x, out_channels, owner)
        return value
    flat = _flatten_batch(x, batch_ndims)
    conditioning = {
        key: _flatten_batch(value, batch_ndims)
        if tf.is_tensor(value) or isinstance(value, np.ndarray)
        else value
        for key, value in conditioning.items()
    }
    value = network(flat, **conditioning)
    _check_output(value, flat, out_channels, owner)
    shape = x.shape[:-1].concatenate(out_channels)
    value = tf.reshape(value, tf.concat([tf.shape(x)[:-1], [out_channels]], 0))
    return tf.ensure_shape(value, shape)


def scale_and_shift(raw, scale):
    """Splits the network's output into (scale, log scale, shift).

    "sigmoid": scale = sigmoid(raw_scale + 2), bounded by 1 and 0.88 at the start; "exp":
    scale = exp(raw_scale), 1 at the start.
    """
    raw_scale, shift = tf.split(raw, 2, axis=-1)
    if scale == "exp":
        return tf.exp(raw_scale), raw_scale, shift
    # log(sigmoid) takes a quarter of the time of log_sigmoid; the constant keeps it finite.
    value = tf.sigmoid(raw_scale + 2.0)
    return value, tf.math.log(value + 1e-37), shift


def check_scale(scale, owner):
    """Raises `ValueError` unless `scale` names one of the two parametrisations."""
    if scale not in SCALES:
        raise UserError(f"{owner}: `scale` must be one of {SCALES}, got {scale!r}.")
    return scale


def _flatten_batch(value, batch_ndims):
    return tf.reshape(value, tf.concat([[-1], tf.shape(value)[batch_ndims:]], 0))


def _check_output(value, x, out_channels, owner):
    expected = x.shape[:-1].concatenate(out_channels)
    if not tf.is_tensor(value) or not value.shape.is_compatible_with(expected):
        shape = tuple(value.shape) if tf.is_tensor(value) else value
        raise UserError(
            f"{owner}: `network` must return a tensor of shape {tuple(expected)} for an input of shape "
            f"{tuple(x.shape)}, got {shape}."
        )
    if value.dtype != x.dtype:
        raise UserError(
            f"{owner}: `network` must return the dtype of its input, {x.dtype.name}, got {value.dtype.name}."
        )
