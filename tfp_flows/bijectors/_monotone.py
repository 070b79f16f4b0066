"""The root of an increasing function, element by element, to the last bits, with its derivatives."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

ValueAndLogSlope = tuple[tf.Tensor, tf.Tensor]
_MAX_STEPS = 200  # bisection of the widest float64 bracket takes 64 halvings, every second step is one


def root(
    function: Callable[..., ValueAndLogSlope],
    target: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    arguments: Sequence[tf.Tensor],
) -> tf.Tensor:
    """x with function(x, *arguments) = target, `low` <= x <= `high`; its gradients are implicit.

    Newton's method, with a step of bisection whenever Newton leaves the bracket, and as every second step
    from the 8th on: so it ends, however flat the function is. An element stops where it moves by no more
    than the spacing of floats, or the function is its target up to rounding. The derivatives are those of
    the implicit function, not of the iteration:

        dx = (dtarget - sum_i dfunction/darguments_i darguments_i) / (dfunction/dx)

    Args:
      function: Increasing in x: `(x, *arguments) -> (value, log of the slope)`, of the shape of `target`.
      target: Floating tensor.
      low: Lower end of the bracket, in the shape of `target`.
      high: Its upper end.
      arguments: Tensors that the root depends on.

    Returns:
      x, in the shape of `target`; NaN where target or bracket are.
    """

    @tf.custom_gradient
    def solved(target: tf.Tensor, *arguments: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        start = tf.stop_gradient(_search(function, target, low, high, arguments))
        value, log_slope = function(start, *arguments)
        # Nearly 0, but with the right derivatives: so those of second order are right too.
        x = start - (value - target) * tf.exp(-tf.stop_gradient(log_slope))
        x = tf.where(tf.math.is_finite(x), x, start)

        def gradient(dx: tf.Tensor) -> list[tf.Tensor | None]:
            with tf.GradientTape() as tape:
                tape.watch(arguments)
                value, log_slope = function(x, *arguments)
            dtarget = dx * tf.exp(-log_slope)
            return [dtarget, *tape.gradient(value, arguments, output_gradients=-dtarget)]

        return x, gradient

    return solved(target, *arguments)


def _search(
    function: Callable[..., ValueAndLogSlope],
    target: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    arguments: Sequence[tf.Tensor],
) -> tf.Tensor:
    """The root alone."""
    spacing = float(np.finfo(target.dtype.as_numpy_dtype).eps)
    rounding = spacing * tf.maximum(tf.abs(target), 1.0)  # of the function's value

    def go_on(step: tf.Tensor, *state: tf.Tensor) -> tf.Tensor:
        return (step < _MAX_STEPS) & tf.reduce_any(state[-1])

    def improve(
        step: tf.Tensor, x: tf.Tensor, low: tf.Tensor, high: tf.Tensor, moving: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        value, log_slope = function(x, *arguments)
        low, high = tf.where(value <= target, x, low), tf.where(value >= target, x, high)
        newton = x - (value - target) * tf.exp(-log_slope)
        middle = low + 0.5 * (high - low)
        halve = (step > 8) & (step % 2 == 0)
        better = tf.where((newton >= low) & (newton <= high) & ~halve, newton, middle)
        better = tf.where(moving, better, x)
        moving = (tf.abs(better - x) > spacing * tf.abs(x)) & (tf.abs(value - target) > rounding)
        return step + 1, better, low, high, moving

    with tf.name_scope("root"):
        x = low + 0.5 * (high - low)
        state = tf.zeros([], tf.int32), x, low, high, tf.ones_like(x, tf.bool)
        return tf.while_loop(go_on, improve, state)[1]
