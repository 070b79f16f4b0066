"""What the members of a `FusedChain` must be, and what its keyword arguments."""

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flows.checks.errors import UserError


def check_members(bijectors: list[tfb.Bijector], name: str) -> None:
    """Raises `UserError` unless there are bijectors, which all keep the rank of an event."""
    if not bijectors:
        raise UserError(f"{name}: `bijectors` must not be empty.")
    for bijector in bijectors:
        if not isinstance(bijector, tfb.Bijector):
            raise UserError(f"{name}: `bijectors` must all be tfb.Bijector, got {bijector!r}.")
        if bijector.forward_min_event_ndims != bijector.inverse_min_event_ndims or not isinstance(
            bijector.forward_min_event_ndims, int
        ):
            raise UserError(
                f"{name}: every member must keep the rank of its event, but {bijector.name} maps rank "
                f"{bijector.forward_min_event_ndims} to {bijector.inverse_min_event_ndims}; "
                f"use tfb.Chain for it."
            )


def check_no_batch_of_parameters(bijectors: Iterable[tfb.Bijector], event_ndims: int, name: str) -> None:
    """Raises `UserError` if a parameter has more axes than an event of rank `event_ndims` takes in.

    Each row of a batch would then be transformed in its own way, and a sample of one event would be several.
    """
    for bijector in bijectors:
        try:
            shape = tf.TensorShape(bijector.experimental_batch_shape(x_event_ndims=event_ndims))
        except NotImplementedError:  # it does not know its parameters
            continue
        if shape.rank:
            raise UserError(
                f"{name}: {bijector.name} has parameters of batch shape {tuple(shape)}, beyond the event of "
                f"rank {event_ndims}; for a batch of bijectors use tfb.Chain."
            )


def common_dtype(bijectors: list[tfb.Bijector], name: str) -> tf.DType | None:
    """The members' dtype, None for any; raises `UserError` if there are several."""
    dtypes = {b.dtype for b in bijectors if b.dtype is not None}
    if len(dtypes) > 1:
        listed = ", ".join(f"{b.name}: {tf.as_dtype(b.dtype).name}" for b in bijectors if b.dtype)
        raise UserError(f"{name}: the members' dtypes differ ({listed}).")
    return dtypes.pop() if dtypes else None


def check_names(conditions: Mapping[str, Any], bijectors: list[tfb.Bijector], name: str) -> None:
    """Raises `UserError` if one of `conditions` is under no member's name."""
    unknown = sorted(set(conditions) - {b.name for b in bijectors})
    if unknown:
        raise UserError(
            f"{name}: keyword arguments go to members by name, but there is no member called "
            f"{', '.join(map(repr, unknown))}; the members are {[b.name for b in bijectors]}."
        )
