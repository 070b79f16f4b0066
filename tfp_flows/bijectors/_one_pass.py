"""The base class of this toolkit's bijectors: a value and its log-determinant in one pass.

A coupling layer knows its log-determinant the moment it has computed its value, but TFP asks for the two
separately, and would evaluate the coupling network once for each. TFP's cache of values is not made for it,
and is shared by all instances of a class: the bijectors here answer for themselves (see `_memo`), through
the hooks by which TFP lets compositions of bijectors do so.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy.typing as npt
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import util as tfu

from tfp_flows.bijectors import _log_det, _memo, _templates
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError
from tfp_flows.numerics import positions

Pair: TypeAlias = tuple[tf.Tensor, tf.Tensor]  # a value and its log-determinant
Gradients: TypeAlias = dict[Any, tf.Tensor]  # of tensors and variables, by their `ref()`
Input: TypeAlias = tf.Tensor | npt.ArrayLike


class OnePassBijector(tfb.Bijector):
    """A bijector whose subclasses return each value together with its log-determinant.

        inverse:  x -> (z, log|det dz/dx|)        image -> latent
        forward:  z -> (x, log|det dx/dz|)        latent -> image

    A subclass implements `_inverse_with_log_det(x, **conditions)` and
    `_forward_with_log_det(z, **conditions)`. The log-determinants are those of an event of the bijector's
    own minimal rank, which both sides share: shape `[...]`, or `[]` where they do not depend on the input.
    `log_prob` of a `tfd.TransformedDistribution` then makes one pass, not two.

    `forward(z)` of the very tensor z that `inverse(x)` returned is x, and their log-determinant is known, as
    it was then: once a variable has been assigned, or for the gradients of a tape begun since, ask for
    `forward(tf.identity(z))`. The same holds for `inverse`, and for `log_prob` of samples. Any other call
    computes anew. Two instances are never equal, however alike their arguments are.

    With `validate_args` every input must be finite, and so must be the parameters.

    Two claims differ. `is_constant_jacobian`, TFP's own, says that dz/dx is the same for all x: the bijector
    is affine, and TFP takes the mean and the mode of a transformed distribution through it.
    `is_constant_log_det` says no more than that log|det dz/dx| is the same for all x, as that of a shift by
    t(x_b) is.
    """

    @property
    def is_constant_log_det(self) -> bool:
        """Whether log|det dz/dx| depends on no input; a subclass that knows it of itself says so."""
        return self.is_constant_jacobian

    def inverse_and_log_det(self, x: Input, name: str = "inverse_and_log_det", **conditions: Any) -> Pair:
        """Image -> latent: (z, log|det dz/dx|), in one evaluation.

        Args:
          x: Floating tensor or array `[...batch] + event`, the event of the bijector's own minimal rank.
          name: Python `str`, the scope of the operations.
          **conditions: As for `inverse`.

        Returns:
          z, and the log-determinants `[...batch]`, nats.

        Raises:
          UserError: As `inverse`.
        """
        return self._call_pair(x, True, name, conditions)

    def forward_and_log_det(self, z: Input, name: str = "forward_and_log_det", **conditions: Any) -> Pair:
        """Latent -> image: (x, log|det dx/dz|), in one evaluation; see `inverse_and_log_det`."""
        return self._call_pair(z, False, name, conditions)

    def _inverse_with_log_det(self, x: tf.Tensor, **conditions: Any) -> Pair:
        raise NotImplementedError(f"{type(self).__name__} has no inverse.")

    def _forward_with_log_det(self, z: tf.Tensor, **conditions: Any) -> Pair:
        raise NotImplementedError(f"{type(self).__name__} has no forward.")

    def _inverse_by_position(self, x: tf.Tensor, **conditions: Any) -> Pair:
        """As `_inverse_with_log_det` of images, the log-determinant by position and level: see `steps`."""
        z, log_det = self._evaluate(x, True, conditions)
        return z, positions.evenly(log_det, x.shape[-3:-1])

    # For a class whose two directions share some work, such as a coupling's network:
    #     _vjp(inverse, result, gradient, dlog_det, sources, **conditions) -> (argument, gradient, others)
    # undoes one direction and differentiates it, as `Step.vjp` has it, in one evaluation of the network.
    _vjp: Any = None

    def _template(self) -> _templates.Template | None:
        """What it is besides its weights: `step` of it is a bijector; None where that is not known."""
        return None

    def _parameter_checks(self) -> Iterator[tuple[tf.Tensor | tf.Variable, tf.Tensor, str]]:
        """(parameter, condition it must keep, what to say if it does not), for `validate_args`."""
        yield from ()

    def _get_parameterization(self) -> int:
        return id(self)  # TFP compares bijectors by it, in the caches of those that hold ours

    @classmethod
    def _parameter_properties(cls, dtype: tf.DType | None) -> dict[str, tfu.ParameterProperties]:
        del dtype
        return {}

    def _parameter_control_dependencies(self, is_init: bool) -> list[tf.Operation]:
        if not self.validate_args:
            return []
        found = [
            arguments.holds(condition, f"{self.name}: {message}")
            for parameter, condition, message in self._parameter_checks()
            if is_init != isinstance(parameter, tf.Variable)  # a variable may have been assigned since
        ]
        return [assertion for assertion in found if assertion is not None]

    def _evaluate(self, value: tf.Tensor, inverse: bool, conditions: Mapping[str, Any]) -> Pair:
        """One direction, of an input that is checked here; nothing is remembered."""
        arguments.check_event(value, self.inverse_min_event_ndims, self.name)
        function = self._inverse_with_log_det if inverse else self._forward_with_log_det
        if not self.validate_args:
            return function(value, **conditions)
        with self._name_and_control_scope("validated"):
            return function(arguments.ensure_finite(value, "the input", self.name), **conditions)

    def _converted(self, value: Input) -> tf.Tensor:
        arguments.check_dtype(value, self.dtype, self.name)  # TFP's own message prints the whole tensor
        return tf.convert_to_tensor(value, dtype=self.dtype)

    def _pair(self, value: tf.Tensor, inverse: bool, conditions: Mapping[str, Any]) -> Pair:
        """As `_evaluate`, but what was computed once is not undone by computing."""
        known = _memo.recall(value, self, inverse, conditions)
        if known is not None:
            return known
        result, log_det = self._evaluate(value, inverse, conditions)
        if result is value:
            result = tf.identity(result)
        _memo.remember(result, self, inverse, value, conditions, log_det)
        return result, log_det

    def _call_pair(self, value: Input, inverse: bool, name: str, conditions: Mapping[str, Any]) -> Pair:
        with self._name_and_control_scope(name):
            value = self._converted(value)
            result, log_det = self._pair(value, inverse, conditions)
            return result, _log_det.over_batch(log_det, value, self.inverse_min_event_ndims)

    def _call_value(
        self, value: Input, inverse: bool, name: str, conditions: Mapping[str, Any]
    ) -> tf.Tensor:
        with self._name_and_control_scope(name):
            return self._pair(self._converted(value), inverse, conditions)[0]

    def _call_log_det(
        self, value: Input, inverse: bool, event_ndims: Any, name: str, conditions: Mapping[str, Any]
    ) -> tf.Tensor:
        with self._name_and_control_scope(name):
            value = self._converted(value)
            event_ndims = self._static_event_ndims(event_ndims, value)
            log_det = _memo.recall_log_det(value, self, inverse, conditions)
            if log_det is None:
                log_det = self._evaluate(value, inverse, conditions)[1]
            return _log_det.over_event(log_det, value, event_ndims, self.inverse_min_event_ndims)

    def _static_event_ndims(self, event_ndims: Any, value: tf.Tensor) -> int:
        """`event_ndims` as TFP takes it (None for the bijector's own rank), as a Python `int`."""
        own = self.inverse_min_event_ndims
        if event_ndims is None:
            return own
        found = tf.get_static_value(event_ndims)
        arguments.check_event(value, own, self.name)
        if found is None or int(found) != found or not own <= found <= value.shape.rank:
            raise UserError(
                f"{self.name}: `event_ndims` must be a known integer from {own} to {value.shape.rank}, the "
                f"rank of the input, got {event_ndims if found is None else found}."
            )
        return int(found)

    # TFP's hooks behind its four public methods; x in their names is what `forward` takes.

    def _call_inverse(self, y: Input, name: str, **kwargs: Any) -> tf.Tensor:
        return self._call_value(y, True, name, kwargs)

    def _call_forward(self, x: Input, name: str, **kwargs: Any) -> tf.Tensor:
        return self._call_value(x, False, name, kwargs)

    def _call_inverse_log_det_jacobian(
        self, y: Input, event_ndims: Any, name: str, **kwargs: Any
    ) -> tf.Tensor:
        return self._call_log_det(y, True, event_ndims, name, kwargs)

    def _call_forward_log_det_jacobian(
        self, x: Input, event_ndims: Any, name: str, **kwargs: Any
    ) -> tf.Tensor:
        return self._call_log_det(x, False, event_ndims, name, kwargs)
