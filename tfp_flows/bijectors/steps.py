"""A bijector in one direction, as a chain takes it: one step that can be applied, undone and differentiated.

A step knows its direction, its conditions and the rank of the chain's event; whoever walks a chain need not.
"""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flows.bijectors import _log_det, _one_pass, _reversible, _templates
from tfp_flows.bijectors._one_pass import Gradients, Pair
from tfp_flows.numerics import positions

# What tfb.Invert(b) and tfb.Chain(...) return, whether or not their members are CompositeTensors: ours are
# not, and then TFP returns an instance of the base class.
INVERT: type = tfb.Invert.__bases__[0]
CHAIN: type = tfb.Chain.__bases__[0]
IMAGE_NDIMS = 3


def is_inverted(bijector: tfb.Bijector) -> bool:
    """Whether `bijector` is a `tfb.Invert`, the other direction of its `bijector`."""
    return isinstance(bijector, INVERT)


def is_constant_log_det(bijector: tfb.Bijector) -> bool:
    """Whether log|det dz/dx| of `bijector` is known to be the same for all inputs.

    It is asked of this toolkit's bijectors, through `tfb.Invert` and `tfb.Chain`; any other bijector's is
    constant where its Jacobian is.

    Args:
      bijector: `tfb.Bijector`.

    Returns:
      Python `bool`; False too where nothing is known.
    """
    if is_inverted(bijector):
        return is_constant_log_det(bijector.bijector)
    if isinstance(bijector, CHAIN):
        members: list[tfb.Bijector] = bijector.bijectors  # type: ignore[attr-defined]
        return all(map(is_constant_log_det, members))
    return bool(getattr(bijector, "is_constant_log_det", bijector.is_constant_jacobian))


def inverse_by_position(bijector: tfb.Bijector, x: tf.Tensor, **conditions: Any) -> Pair:
    """Image -> latent, with the log-determinant by position of the image, and by level.

        log|det dz/dx| = sum_hwt log_det_hwt

    A coupling's log-scales belong to positions, and so does the log-determinant that an actnorm or a 1x1
    convolution has at each of them; a position of a squeezed image stands for a block of pixels, and is
    spread evenly over them. So is, over the whole image, what a bijector does not tell by position. What
    lies behind a `FactorOut`, its `rest`, is a level of its own.

    Args:
      bijector: `tfb.Bijector` of images.
      x: Floating tensor `[..., H, W, C]`.
      **conditions: As for `bijector.inverse`.

    Returns:
      (z, `[..., H, W, T]` in nats), T the number of levels.
    """
    z, by_position = step(bijector, True, IMAGE_NDIMS, conditions).apply_by_position(x)
    return z, by_position + tf.zeros_like(x[..., :1])  # what is the same for all images, for each of them


class Step(abc.ABC):
    """One direction of something invertible, on events of a rank that is given when it is made."""

    @abc.abstractmethod
    def apply(self, value: tf.Tensor) -> Pair:
        """(result, its log-determinant over the event), in one evaluation."""

    def apply_by_position(self, value: tf.Tensor) -> Pair:
        """(result, its log-determinant by position and level) for an image `[..., H, W, C]`.

        The latter is `[..., H, W, T]`, see `inverse_by_position`, or broadcasts to it. What is not known by
        position is spread evenly, so that it sums to that of `apply`.
        """
        result, log_det = self.apply(value)
        return result, positions.evenly(log_det, value.shape[-3:-1])

    @abc.abstractmethod
    def undo(self, result: tf.Tensor) -> tf.Tensor:
        """The value whose result this is."""

    def template(self) -> _templates.Template | None:
        """What the step is besides its tensors; None where that is not known."""
        return None

    def vjp(
        self, result: tf.Tensor, gradient: tf.Tensor, dlog_det: tf.Tensor, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """Undoes the step, and takes the vector-Jacobian product there.

        Args:
          result: What `apply` returned.
          gradient: The loss's gradient with respect to it.
          dlog_det: The same for its log-determinant.
          sources: Tensors to differentiate by besides value and variables.

        Returns:
          (value, the loss's gradient with respect to it, those with respect to sources and variables).
        """
        return _reversible.undo_and_differentiate(
            lambda value, _: self.apply(value),
            lambda result, _: self.undo(result),
            result,
            gradient,
            dlog_det,
            sources,
        )


def step(
    bijector: tfb.Bijector, inverse: bool, event_ndims: int, conditions: Mapping[str, Any] | None = None
) -> Step:
    """The step that `bijector.inverse`, or `bijector.forward`, is on events of rank `event_ndims`."""
    while is_inverted(bijector):
        bijector, inverse = bijector.bijector, not inverse
    kind = _OwnStep if isinstance(bijector, _one_pass.OnePassBijector) else _TfpStep
    return kind(bijector, inverse, event_ndims, conditions or {})


class _BijectorStep(Step):
    def __init__(
        self, bijector: tfb.Bijector, inverse: bool, event_ndims: int, conditions: Mapping[str, Any]
    ):
        self._bijector = bijector
        self._inverse = inverse
        self._event_ndims = event_ndims
        self._conditions = conditions


class _OwnStep(_BijectorStep):
    """Of a bijector of this toolkit, past TFP's bookkeeping."""

    def apply(self, value: tf.Tensor) -> Pair:
        result, log_det = self._bijector._evaluate(value, self._inverse, self._conditions)
        own_ndims = self._bijector.inverse_min_event_ndims
        return result, _log_det.over_event(log_det, value, self._event_ndims, own_ndims)

    def apply_by_position(self, value: tf.Tensor) -> Pair:
        own_ndims = self._bijector.inverse_min_event_ndims
        if own_ndims <= 1:
            result, log_det = self._bijector._evaluate(value, self._inverse, self._conditions)
            return result, _at_positions(_log_det.over_event(log_det, value, 1, own_ndims), value)
        if own_ndims == IMAGE_NDIMS and self._inverse:
            return self._bijector._inverse_by_position(value, **self._conditions)
        return super().apply_by_position(value)

    def undo(self, result: tf.Tensor) -> tf.Tensor:
        return self._bijector._evaluate(result, not self._inverse, self._conditions)[0]

    def template(self) -> _templates.Template | None:
        conditions, of_bijector = self._conditions, self._bijector._template()
        if of_bijector is None or not all(map(tf.is_tensor, conditions.values())):
            return None
        count = len(of_bijector.tensors)

        def made(tensors: Sequence[tf.Tensor]) -> Step:
            own = dict(zip(conditions, tensors[count:], strict=True))
            return _OwnStep(of_bijector.step(tensors[:count]), self._inverse, self._event_ndims, own)

        return of_bijector._replace(
            key=(_OwnStep, self._inverse, self._event_ndims, tuple(conditions), of_bijector.key),
            tensors=[*of_bijector.tensors, *conditions.values()],
            step=made,
        )

    def vjp(
        self, result: tf.Tensor, gradient: tf.Tensor, dlog_det: tf.Tensor, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        bijector = self._bijector
        if bijector._vjp is None or bijector.inverse_min_event_ndims != self._event_ndims:
            return super().vjp(result, gradient, dlog_det, sources)
        return bijector._vjp(self._inverse, result, gradient, dlog_det, sources, **self._conditions)


class _TfpStep(_BijectorStep):
    """Of any other bijector, through its public methods."""

    def apply(self, value: tf.Tensor) -> Pair:
        value = tf.identity(value)  # TFP's cache would remember one seen before a variable was assigned
        b, ndims, conditions = self._bijector, self._event_ndims, self._conditions
        if self._inverse:
            result = b.inverse(value, **conditions)
            return result, b.inverse_log_det_jacobian(value, event_ndims=ndims, **conditions)
        result = b.forward(value, **conditions)
        return result, b.forward_log_det_jacobian(value, event_ndims=ndims, **conditions)

    def apply_by_position(self, value: tf.Tensor) -> Pair:
        if self._bijector.inverse_min_event_ndims > 1 or self._bijector.forward_min_event_ndims > 1:
            return super().apply_by_position(value)
        by_position = _TfpStep(self._bijector, self._inverse, 1, self._conditions)
        result, log_det = by_position.apply(value)
        return result, _at_positions(log_det, value)

    def undo(self, result: tf.Tensor) -> tf.Tensor:
        function = self._bijector.forward if self._inverse else self._bijector.inverse
        return function(tf.identity(result), **self._conditions)


def _at_positions(log_det: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Log-determinants of pixels, `[..., H, W]` or one for all, as `[..., H, W, 1]`."""
    return (log_det * tf.ones(value.shape[-3:-1], log_det.dtype))[..., tf.newaxis]
