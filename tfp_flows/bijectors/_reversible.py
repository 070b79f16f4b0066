"""Gradients without kept activations: the backward pass recomputes each layer's input from its output.

A bijector's input is known from its output, so that nothing in between need be kept for the gradient
(Gomez et al., The Reversible Residual Network, NeurIPS 2017, https://arxiv.org/abs/1707.04585).
Throughout, `others` is a dict {variable or tensor `.ref()`: gradient}.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def differentiate(
    function: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    vjp: Callable[..., tuple[tf.Tensor, tf.Tensor, dict[Any, tf.Tensor]]],
    x: tf.Tensor,
    tensors: Sequence[tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    """`function(x)`, a value and a log-determinant; its gradient keeps that value alone.

    Args:
      function: Callable `x -> (y, log_det)`.
      vjp: Callable `(y, dy, dlog_det) -> (x, dx, others)`.
      x: Floating tensor.
      tensors: Further tensors that `function` depends on, variables aside.

    Returns:
      `function(x)`.
    """

    @tf.custom_gradient
    def call(x, *arguments):
        del arguments  # `function` has them; here they are what the gradient is with respect to
        y, log_det = function(x)

        def gradient(dy, dlog_det, variables=()):
            _, dx, others = vjp(y, dy, dlog_det)
            of_tensors = [dx, *(others.get(tensor.ref()) for tensor in tensors)]
            of_variables = [others.get(variable.ref()) for variable in variables]
            return (of_tensors, of_variables) if variables else of_tensors

        return (y, log_det), gradient

    return call(x, *tensors)


def undo_and_differentiate(
    function: Callable[[tf.Tensor, Any], tuple[tf.Tensor, tf.Tensor]],
    undo: Callable[[tf.Tensor, Any], tf.Tensor],
    y: tf.Tensor,
    dy: tf.Tensor,
    dlog_det: tf.Tensor,
    sources: Sequence[tf.Tensor],
    condition: Callable[[], Any] = lambda: None,
) -> tuple[tf.Tensor, tf.Tensor, dict[Any, tf.Tensor]]:
    """Recovers x from y = function(x), and takes the vector-Jacobian product there.

        terms = condition(),  x = undo(y, terms),  (y, log_det) = function(x, terms)

    `condition`, such as a coupling's network, is evaluated once for both.

    Args:
      function: Callable `(x, terms) -> (y, log_det)`.
      undo: Callable `(y, terms) -> x`.
      y: Floating tensor.
      dy: The loss's gradient with respect to `y`.
      dlog_det: The same for `log_det`, of a shape that broadcasts with it.
      sources: Tensors to differentiate by besides x and the variables.
      condition: Callable without arguments.

    Returns:
      (x, dx, others), the loss's gradients with respect to x, and to sources and variables.
    """
    with tf.GradientTape() as tape:
        tape.watch(sources)
        terms = condition()
        with tape.stop_recording():
            x = undo(y, terms)
        tape.watch(x)
        y, log_det = function(x, terms)
        weighted = tf.reduce_sum(dlog_det * log_det)
    sources = [*sources, *tape.watched_variables()]
    one = tf.ones([], y.dtype)
    dx, *found = tape.gradient([y, weighted], [x, *sources], output_gradients=[dy, one])
    others = {s.ref(): tf.convert_to_tensor(g) for s, g in zip(sources, found, strict=True) if g is not None}
    return x, tf.zeros_like(x) if dx is None else dx, others


def through_condition(
    condition: Any,
    routed: Callable[[], dict[str, Any]],
    vjp: Callable[[Sequence[tf.Tensor], dict[str, Any]], tuple[tf.Tensor, tf.Tensor, dict[Any, tf.Tensor]]],
    sources: Sequence[tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor, dict[Any, tf.Tensor]]:
    """The product of a chain that gives its members what it makes of one condition.

    Args:
      condition: What the chain was given.
      routed: What it gives its members, made of `condition`: keyword arguments.
      vjp: Callable `(sources, keyword arguments) -> (x, dx, others)`.
      sources: Tensors to differentiate by.

    Returns:
      As `vjp`; the gradient by what the members are given is taken on to `condition`.
    """
    if not isinstance(condition, tf.Tensor):  # nothing to differentiate by
        return vjp(sources, routed())
    with tf.GradientTape() as tape:
        tape.watch(condition)
        given = routed()
    tensors = [ref.deref() for ref in {t.ref(): None for t in tf.nest.flatten(given)}]
    value, gradient, others = vjp([*sources, *tensors], given)
    found = [others.pop(tensor.ref(), tf.zeros_like(tensor)) for tensor in tensors]
    own = tape.gradient(tensors, condition, output_gradients=found)
    add(others, {} if own is None else {condition.ref(): own})
    return value, gradient, others


def add(others: dict[Any, tf.Tensor], more: dict[Any, tf.Tensor]) -> None:
    """Adds gradients to those found before, in place."""
    for key, value in more.items():
        others[key] = others[key] + value if key in others else value


def sequenced(before: Sequence[tf.Tensor], *values: tf.Tensor) -> list[tf.Tensor]:
    """`values`, available in a graph only after `before`.

    TensorFlow would else recompute all layers as soon as the last output is there, since no input depends
    on a gradient, and their activations would wait in memory for the gradients to come.
    """
    with tf.control_dependencies(before):
        return [tf.identity(value) for value in values]
