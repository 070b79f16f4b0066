"""Building and calling the network that conditions a coupling or a factor-out."""

import numbers
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows.bijectors import _condition
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError

SCALE_FORMS = ("sigmoid", "exp", "tanh")
LEAST = -80.0
Network = Callable[..., tf.Tensor]
Factory = Callable[[int, int], Network]
ScaleAndShift = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # scale, its logarithm, shift


def build(factory: Factory | None, in_channels: int, out_channels: int, owner: str) -> Network:
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


class Reuse:
    """A factory that returns the network that is already there, for `copy()`."""

    def __init__(self, network: Network):
        self._network = network

    def __call__(self, in_channels: int, out_channels: int) -> Network:
        """The network, whatever its channels."""
        return self._network


def input_limit(limit: float, owner: str) -> float:
    """`limit`, if it is a finite number that is not negative.

    Raises:
      UserError: If it is none.
    """
    if isinstance(limit, bool) or not isinstance(limit, numbers.Real) or not 0 <= limit < float("inf"):
        raise UserError(f"{owner}: `input_limit` must be positive, or 0 for none, got {limit!r}.")
    return float(limit)


def limited(x: tf.Tensor, limit: float) -> tf.Tensor:
    """What a network is given of `x`: max(-limit, min(x, limit)); `x` itself where the limit is 0."""
    return tf.clip_by_value(x, -limit, limit) if limit else x


def call(
    network: Network,
    x: tf.Tensor,
    out_channels: int,
    event_ndims: int,
    conditioning: Mapping[str, Any],
    owner: str,
    validate_args: bool = False,
    channels: int | None = None,
) -> tf.Tensor:
    """Calls `network` on `x` flattened to one batch axis, `[N] + event`.

    Tensors and arrays in `conditioning`, and `condition` whatever it is, are broadcast against the batch of
    `x`, see `_condition.broadcast`, and flattened alike; numbers and anything else are passed on as they
    are. A network that has an integer `condition_channels` is given vectors or maps of this size alone.
    `channels` are those of the owner's input, for messages.

    Returns:
      A tensor with the batch and event shape of `x`, but `out_channels` in the last axis.

    Raises:
      ValueError: If the network returns another shape or dtype, or a condition does not fit.
    """
    batch_ndims = x.shape.rank - event_ndims
    size = condition_size(network)
    paired = {
        key: _condition.broadcast(value, x, event_ndims, size, owner, argument=key, channels=channels)
        for key, value in conditioning.items()
        if is_condition(key, value)
    }
    if validate_args:
        paired = {key: arguments.ensure_finite(value, f"`{key}`", owner) for key, value in paired.items()}
    conditioning = {**conditioning, **paired}
    if batch_ndims == 1:
        value = network(x, **conditioning)
        _check_output(value, x, out_channels, owner)
        return value
    flat = _flatten_batch(x, batch_ndims)
    flattened = {key: _flatten_batch(value, batch_ndims) for key, value in paired.items()}
    value = network(flat, **{**conditioning, **flattened})
    _check_output(value, flat, out_channels, owner)
    shape = x.shape[:-1].concatenate(out_channels)
    value = tf.reshape(value, tf.concat([tf.shape(x)[:-1], [out_channels]], 0))
    return tf.ensure_shape(value, shape)


def scale_and_shift(raw: tf.Tensor, scale_form: str, validate_args: bool, owner: str) -> ScaleAndShift:
    """Splits the network's output into (scale, log scale, shift).

    "tanh": scale = exp(tanh(raw_scale)), from 1/e to e and 1 at the start; "sigmoid": scale =
    sigmoid(raw_scale + 2), bounded by 1 and 0.88 at the start; "exp": scale = exp(raw_scale), 1 there.
    """
    raw_scale, shift = tf.split(raw, 2, axis=-1)
    scale, log_scale = _scale_and_log(raw_scale, scale_form)
    if validate_args:
        positive = tf.reduce_all((scale > 0) & tf.math.is_finite(scale))
        message = f"{owner}: the scale must be positive and finite, else there is no way back."
        scale = arguments.ensure(scale, positive, message)
    return scale, log_scale, shift


def _scale_and_log(raw: tf.Tensor, scale_form: str) -> tuple[tf.Tensor, tf.Tensor]:
    if scale_form == "exp":
        return tf.exp(raw), raw
    if scale_form == "tanh":
        log_scale = tf.tanh(raw)
        return tf.exp(log_scale), log_scale
    # log(sigmoid) takes a third of the time of log_sigmoid; float32 has sigmoid(-80), but not sigmoid(-104).
    scale = tf.sigmoid(tf.maximum(raw + 2.0, LEAST))
    return scale, tf.math.log(scale)


def scale_form(form: str, old: str | None, owner: str) -> str:
    """The form of a scale, which may be given by its old name, `scale`.

    Raises:
      UserError: If it is none.
    """
    if old is not None:
        warn_of_scale(owner, stacklevel=4)
        form = old
    return arguments.check_one_of(form, SCALE_FORMS, "scale_form" if old is None else "scale", owner)


def warn_of_scale(owner: str, stacklevel: int = 3) -> None:
    """Warns whoever uses `scale`, which everywhere else in TFP is a tensor that values are multiplied by."""
    message = f"{owner}: `scale` is now called `scale_form`."
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)


def condition_size(network: Network) -> int | None:
    """K, the size of the conditions that a network says it takes; None if it does not say."""
    size = getattr(network, "condition_channels", None)
    return size if isinstance(size, int) and size > 0 else None


def is_condition(key: str, value: object) -> bool:
    """Whether there is one for each event, or one for all: neither an option nor a single number."""
    if tf.is_tensor(value) or isinstance(value, np.ndarray):
        return value.shape.rank != 0 if tf.is_tensor(value) else value.ndim != 0  # type: ignore[attr-defined]
    return key == "condition" and isinstance(value, list | tuple)


def _flatten_batch(value: tf.Tensor, batch_ndims: int) -> tf.Tensor:
    return tf.reshape(value, tf.concat([[-1], tf.shape(value)[batch_ndims:]], 0))


def _check_output(value: Any, x: tf.Tensor, out_channels: int, owner: str) -> None:
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
