"""What couplings share: the halves, the network, and its single evaluation in every direction."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfp_flows.bijectors import _conditioner, _one_pass, _reversible
from tfp_flows.bijectors._one_pass import Gradients, Pair
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError


class Coupling(_one_pass.OnePassBijector):
    """What both couplings share: the split into halves and the network."""

    def __init__(
        self,
        num_channels: int,
        network: _conditioner.Factory,
        outputs_per_channel: int,
        event_ndims: int,
        swap: bool,
        **kwargs: Any,
    ):
        name = kwargs["name"]
        kwargs["dtype"] = arguments.check_floating(kwargs["dtype"], name)
        num_channels = arguments.check_count(num_channels, "num_channels", name)
        if num_channels % 2:
            raise UserError(
                f"{name}: `num_channels` must be even, since one half is transformed given the "
                f"other, got {num_channels}."
            )
        self._num_channels = num_channels
        self._swap = bool(swap)
        self._event_ndims = arguments.check_count(event_ndims, "event_ndims", name)
        half = num_channels // 2
        self._out_channels = outputs_per_channel * half
        self._network = _conditioner.build(network, half, self._out_channels, name)
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

    def _inverse_with_log_det(self, x: tf.Tensor, **conditions: Any) -> Pair:
        return self._map(self._transform, x, conditions)

    def _forward_with_log_det(self, z: tf.Tensor, **conditions: Any) -> Pair:
        return self._map(self._restore, z, conditions)

    def _inverse_by_position(self, x: tf.Tensor, **conditions: Any) -> Pair:
        a, b = self._halves(x)
        terms = self._terms(b, conditions)
        z_a = self._transform(a, terms)[0]
        return self._join(z_a, b), tf.reduce_sum(self._log_scale(terms, a), axis=-1, keepdims=True)

    def _map(self, function: Callable[..., Pair], value: tf.Tensor, conditions: Mapping[str, Any]) -> Pair:
        """(a, b) -> (function(a, network(b)), b)."""
        a, b = self._halves(value)
        a, log_det = function(a, self._terms(b, conditions))
        return self._join(a, b), log_det

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
        result_a, b = self._halves(result)
        gradient_a, db = self._halves(gradient)
        a, da, others = _reversible.undo_and_differentiate(
            function,
            lambda result_a, terms: undo(result_a, terms)[0],
            result_a,
            gradient_a,
            dlog_det,
            [b, *sources],
            condition=lambda: self._terms(b, conditions),
        )
        db += others.pop(b.ref(), 0.0)
        return self._join(a, b), self._join(da, db), others

    def _halves(self, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(a, b): the half that is transformed, and the one that it is given."""
        arguments.check_channels(value, self._num_channels, self.name)
        first, second = tf.split(value, 2, axis=-1)
        return (second, first) if self._swap else (first, second)

    def _terms(self, b: tf.Tensor, conditions: Mapping[str, Any]) -> Any:
        """What the network says of the other half."""
        return _conditioner.call(
            self._network,
            b,
            self._out_channels,
            self._event_ndims,
            conditions,
            self.name,
            self.validate_args,
            self._num_channels,
        )

    def _transform(self, x_a: tf.Tensor, terms: Any) -> Pair:
        """(z_a, log|det dz_a/dx_a|)."""
        raise NotImplementedError

    def _restore(self, z_a: tf.Tensor, terms: Any) -> Pair:
        """(x_a, log|det dx_a/dz_a|)."""
        raise NotImplementedError

    def _log_scale(self, terms: Any, x_a: tf.Tensor) -> tf.Tensor:
        """log dz_a/dx_a of each element, in the shape of x_a."""
        raise NotImplementedError

    def _join(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        return tf.concat([b, a] if self._swap else [a, b], axis=-1)

    def _event_axes(self) -> list[int]:
        return list(range(-self._event_ndims, 0))
