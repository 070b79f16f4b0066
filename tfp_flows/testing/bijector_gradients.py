"""A bijector's gradients, against finite differences: a part of the contract of bijectors."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb


def check_gradients(bijector: tfb.Bijector, x: tf.Tensor) -> None:
    """Gradients are complete: every variable is tracked, gets one, and it is that of finite differences.

    The gradients of value and log-determinant, in both directions, with respect to the input and to every
    trainable variable, are compared with central differences along random directions: a result behind a
    `tf.stop_gradient` differs.
    """
    _check_every_variable_has_a_gradient(bijector, x)
    z = tf.identity(bijector.inverse(x))
    for name, point, map_and_log_det in (
        ("inverse", x, (bijector.inverse, bijector.inverse_log_det_jacobian)),
        ("forward", z, (bijector.forward, bijector.forward_log_det_jacobian)),
    ):
        for which in ("value", "log-determinant"):
            _check_against_differences(bijector, point, map_and_log_det, f"{name}'s {which}")


def _check_against_differences(
    bijector: tfb.Bijector,
    point: tf.Tensor,
    map_and_log_det: tuple[Callable, Callable],
    what: str,
    step: float = 1e-6,
) -> None:
    map_point, log_det_of = map_and_log_det
    rng = np.random.default_rng(2)
    weights = rng.standard_normal(map_point(point).shape)
    variables = bijector.trainable_variables

    def loss(x: tf.Tensor) -> tf.Tensor:
        x = tf.identity(x)
        if what.endswith("value"):
            return tf.reduce_sum(map_point(x) * weights)
        # Weighted by image, lest the sum hide a dependence.
        log_det = log_det_of(x, event_ndims=x.shape.rank - 1)
        return tf.reduce_sum(tf.broadcast_to(log_det, [x.shape[0]]) * np.arange(1.0, x.shape[0] + 1))

    with tf.GradientTape() as tape:
        tape.watch(point)
        value = loss(point)
    untracked = {v.ref() for v in tape.watched_variables()} - {v.ref() for v in variables}
    names = [v.deref().name for v in untracked]
    assert not names, f"{what} depends on variables that the bijector does not track: {names}"
    sources = (point, *variables)
    compiled = tf.function(loss, autograph=False)  # it is called twice for each variable
    for source, found in zip(sources, tape.gradient(value, sources), strict=True):
        direction = rng.standard_normal(source.shape)
        differences = _central_difference(compiled, point, source, direction, step)
        expected = 0.0 if found is None else float(tf.reduce_sum(found * direction))
        tolerance = 1e-5 * (abs(differences) + abs(float(value)) + 1.0)
        assert abs(differences - expected) < tolerance, (
            f"the gradient of {what} with respect to {getattr(source, 'name', 'its input')} is "
            f"{expected:.6g} along a random direction, but finite differences give {differences:.6g}"
        )


def _central_difference(
    loss: Callable[[tf.Tensor], tf.Tensor],
    point: tf.Tensor,
    source: tf.Tensor | tf.Variable,
    direction: np.ndarray,
    step: float,
) -> float:
    if source is point:
        return float(loss(point + step * direction) - loss(point - step * direction)) / (2 * step)
    kept = source.numpy()
    source.assign(kept + step * direction)
    above = float(loss(point))
    source.assign(kept - step * direction)
    below = float(loss(point))
    source.assign(kept)
    return (above - below) / (2 * step)


def _check_every_variable_has_a_gradient(bijector: tfb.Bijector, x: tf.Tensor) -> None:
    variables = bijector.trainable_variables
    weights = tf.constant(np.random.default_rng(1).standard_normal(x.shape), x.dtype)
    with tf.GradientTape() as tape:
        x = tf.identity(x)
        z = bijector.inverse(x)
        log_det = bijector.inverse_log_det_jacobian(x, event_ndims=x.shape.rank - 1)
        loss = tf.reduce_sum(z * tf.reshape(weights, tf.shape(z))) + tf.reduce_sum(log_det)
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        assert gradient is not None, f"{variable.name} gets no gradient"
        gradient = gradient.numpy()
        assert np.isfinite(gradient).all(), f"the gradient of {variable.name} is not finite"
        assert np.abs(gradient).max() > 0, f"the gradient of {variable.name} is zero"
