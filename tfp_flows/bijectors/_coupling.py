"""What couplings share: the two parts, the network, and its single evaluation in every direction."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from tfp_flows.bijectors import _condition, _conditioner, _one_pass, _reversible, _splits, _templates
from tfp_flows.bijectors._one_pass import Gradients, Pair
from tfp_flows.checks import arguments


class SplitBijector(_one_pass.OnePassBijector):
    """Transforms one part of an event, given what a network says of the other: what all couplings share."""

    def __init__(
        self,
        num_channels: int,
        network: _conditioner.Factory,
        outputs_per_channel: int,
        event_ndims: int,
        swap: bool,
        split: str | npt.ArrayLike = "channels",
        input_limit: float = 0.0,
        **kwargs: Any,
    ):
        name = kwargs["name"]
        kwargs["dtype"] = arguments.check_floating(kwargs["dtype"], name)
        num_channels = arguments.check_count(num_channels, "num_channels", name)
        self._num_channels = num_channels
        self._event_ndims = arguments.check_count(event_ndims, "event_ndims", name)
        self._input_limit = _conditioner.input_limit(input_limit, name)
        self._split = _splits.build(split, num_channels, bool(swap), self._event_ndims, name)
        self._out_channels = outputs_per_channel * self._split.out_channels
        self._network = _conditioner.build(network, self._split.in_channels, self._out_channels, name)
        kwargs["parameters"]["network"] = _conditioner.Reuse(self._network)  # a copy shares it
        super().__init__(forward_min_event_ndims=self._event_ndims, **kwargs)

    @property
    def num_channels(self) -> int:
        """C, the size of the last axis."""
        return self._num_channels

    @property
    def network(self) -> Callable[..., tf.Tensor]:
        """The network that the factory made: x_b -> raw parameters for x_a."""
        return self._network

    @property
    def input_limit(self) -> float:
        """The network sees x_b clipped to [-input_limit, input_limit]; 0: as it is."""
        return self._input_limit

    def _inverse_with_log_det(self, x: tf.Tensor, **conditions: Any) -> Pair:
        return self._map(self._transform, x, conditions)

    def _forward_with_log_det(self, z: tf.Tensor, **conditions: Any) -> Pair:
        return self._map(self._restore, z, conditions)

    def _inverse_by_position(self, x: tf.Tensor, **conditions: Any) -> Pair:
        a, b = self._parts(x)
        z_a, log_scale = self._transform(a, self._terms(b, conditions))
        if log_scale is None:
            log_scale = tf.zeros_like(a)
        if not isinstance(self._split, _splits.Channels):
            log_scale = self._split.join(log_scale + tf.zeros_like(a), tf.zeros_like(b))
        return self._split.join(z_a, b), tf.reduce_sum(log_scale, axis=-1, keepdims=True)

    def _map(self, function: Callable[..., Any], value: tf.Tensor, conditions: Mapping[str, Any]) -> Pair:
        """(a, b) -> (function(a, network(b)), b)."""
        a, b = self._parts(value)
        a, log_det = self._summed(function)(a, self._terms(b, conditions))
        return self._split.join(a, b), log_det

    def _summed(self, function: Callable[..., Any]) -> Callable[[tf.Tensor, Any], Pair]:
        """`function`, with the log-determinant of all elements of an event."""

        def pair(value: tf.Tensor, terms: Any) -> Pair:
            result, log_scale = function(value, terms)
            if log_scale is None:
                return result, tf.zeros([], value.dtype)
            return result, tf.reduce_sum(log_scale, axis=list(range(-self._split.a_ndims, 0)))

        return pair

    def _vjp(
        self,
        inverse: bool,
        result: tf.Tensor,
        gradient: tf.Tensor,
        dlog_det: tf.Tensor,
        sources: Sequence[tf.Tensor],
        **conditions: Any,
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """Undoes one direction and differentiates it, in one evaluation of the network."""
        function, undo = (self._transform, self._restore) if inverse else (self._restore, self._transform)
        result_a, b = self._parts(result)
        gradient_a, db = self._parts(gradient)
        a, da, others = _reversible.undo_and_differentiate(
            self._summed(function),
            lambda result_a, terms: undo(result_a, terms)[0],
            result_a,
            gradient_a,
            dlog_det,
            [b, *sources],
            condition=lambda: self._terms(b, conditions),
        )
        db += others.pop(b.ref(), 0.0)
        return self._split.join(a, b), self._split.join(da, db), others

    # A subclass that differs from another one of it in these alone, and in split and network, says so: see
    # `_template`. Not a subclass of that one, which may compute something else.
    def _settings(self) -> Hashable | None:
        return None

    def _template(self) -> _templates.Template | None:
        settings, network = self._settings(), self._network
        if settings is None or self.validate_args:
            return None
        own = (type(self), settings, self._num_channels, self._event_ndims, self._input_limit, self.dtype)
        try:
            key = (own, _templates.key(self._split), _templates.key(network))
        except _templates.Unknown:
            return None

        def made(tensors: Sequence[tf.Tensor]) -> SplitBijector:
            return _templates.replaced(self, {"_network": _templates.with_tensors(network, iter(tensors))})

        weights = [tf.convert_to_tensor(variable) for variable in _templates.variables(network)]
        return _templates.Template(key, weights, made, has_network=True)

    def _parts(self, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(a, b): the part that is transformed, and the one that it is given."""
        arguments.check_channels(value, self._num_channels, self.name)
        return self._split.parts(value)

    def _terms(self, b: tf.Tensor, conditions: Mapping[str, Any]) -> Any:
        """What the network says of the other part."""
        seen = self._split.seen(_conditioner.limited(b, self._input_limit))
        raw = _conditioner.call(
            self._network,
            seen,
            self._out_channels,
            self._event_ndims,
            self._packed(seen, conditions),
            self.name,
            self.validate_args,
            self._num_channels,
        )
        return self._split.outputs(raw)

    def _packed(self, seen: tf.Tensor, conditions: Mapping[str, Any]) -> Mapping[str, Any]:
        """Conditions for the positions that the network is given, if there are fewer of them."""
        if not conditions or not isinstance(self._split, _splits.Pairs):
            return conditions
        positions = self._split.whole_positions(seen.shape[-self._event_ndims : -1])
        size = _conditioner.condition_size(self._network)
        found = dict(conditions)
        for key, value in conditions.items():
            if _conditioner.is_condition(key, value):
                whole = _condition.broadcast(
                    value,
                    seen,
                    self._event_ndims,
                    size,
                    self.name,
                    positions,
                    key,
                    self._num_channels,
                )
                is_map = whole.shape.rank == seen.shape.rank
                found[key] = self._split.packed_condition(whole) if is_map else whole
        return found

    def _transform(self, x_a: tf.Tensor, terms: Any) -> tuple[tf.Tensor, tf.Tensor | None]:
        """(z_a, log dz_a/dx_a of each element, in the shape of x_a; None for 0)."""
        raise NotImplementedError

    def _restore(self, z_a: tf.Tensor, terms: Any) -> tuple[tf.Tensor, tf.Tensor | None]:
        """(x_a, log dx_a/dz_a of each element, in the shape of z_a; None for 0)."""
        raise NotImplementedError
