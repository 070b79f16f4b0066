"""A chain that gives its members what it makes of one condition."""

from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import numpy.typing as npt
import tensorflow as tf

from tfp_flows.bijectors import _reversible, fused_chain
from tfp_flows.bijectors._one_pass import Gradients, Pair
from tfp_flows.checks.errors import UserError

Condition: TypeAlias = tf.Tensor | npt.ArrayLike


class SharedCondition(fused_chain.FusedChain):
    """`FusedChain` with a keyword `condition`, in the place of keyword arguments by members' names.

    Attributes:
      size_argument: The argument, and property, that says how large a condition is; 0 for none.
      size_unit: What it counts, for messages.
    """

    size_argument: ClassVar[str]
    size_unit: ClassVar[str]

    def _of_members(self, condition: Condition, value: tf.Tensor) -> dict[str, Any]:
        """The members' keyword arguments, by their names, for a `value` of either side of the chain."""
        raise NotImplementedError

    def _inverse_with_log_det(self, x: tf.Tensor, condition: Condition | None = None, **kwargs: Any) -> Pair:
        return super()._inverse_with_log_det(x, **self._routed(x, condition, kwargs))

    def _forward_with_log_det(self, z: tf.Tensor, condition: Condition | None = None, **kwargs: Any) -> Pair:
        return super()._forward_with_log_det(z, **self._routed(z, condition, kwargs))

    def _inverse_by_position(self, x: tf.Tensor, condition: Condition | None = None, **kwargs: Any) -> Pair:
        return super()._inverse_by_position(x, **self._routed(x, condition, kwargs))

    def _vjp(
        self,
        inverse: bool,
        result: tf.Tensor,
        gradient: tf.Tensor,
        dlog_det: tf.Tensor,
        sources: Sequence[tf.Tensor],
        condition: Condition | None = None,
        **kwargs: Any,
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """A chain's product, and its gradient by what members are given taken on to `condition`."""
        return _reversible.through_condition(
            condition,
            lambda: self._routed(result, condition, kwargs),
            lambda every, given: fused_chain.FusedChain._vjp(
                self, inverse, result, gradient, dlog_det, every, **given
            ),
            sources,
        )

    def _routed(
        self, value: tf.Tensor, condition: Condition | None, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """The members' keyword arguments: what is made of `condition`, or `kwargs`, by their names."""
        size, argument = getattr(self, self.size_argument), self.size_argument
        if condition is None:
            if size and not kwargs:
                raise UserError(
                    f"{self.name}: every call needs a `condition` of {argument}={size} {self.size_unit} (a "
                    f"distribution's as bijector_kwargs={{'condition': ...}})."
                )
            return kwargs
        if kwargs:
            raise UserError(
                f"{self.name}: give `condition`, or keyword arguments by members' names, not both; got "
                f"{sorted(kwargs)} too."
            )
        if not size:
            raise UserError(f"{self.name}: a `condition` was given, but {argument}=0.")
        return self._of_members(condition, value)
