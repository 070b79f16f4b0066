"""The contract of bijectors.

TFP's own `assert_bijective_and_finite` is not enough: TFP caches, so `inverse(forward(x))` hands x back
whatever the inverse computes. Here the cache is broken with `tf.identity`, and log-determinants are compared
with those of Jacobians from automatic differentiation, in float64.
"""

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_flows.testing.bijector_gradients import check_gradients
from tfp_flows.testing.one_pass import check_one_pass
from tfp_flows.testing.perturbation import perturb

Build = Callable[[tf.DType], tfb.Bijector]


def check_bijector(
    build: Build,
    event_shape: Sequence[int],
    batch_size: int = 3,
    seed: int = 0,
    jit_compile: bool = True,
    low: float = -2.0,
    high: float = 2.0,
) -> None:
    """Puts a bijector through the whole contract.

    Args:
      build: Callable `build(dtype) -> tfb.Bijector`, a new one with variables of its own at each call.
        Its initial values may make it the identity: they are perturbed before anything is checked.
      event_shape: Shape of an event on the image side (what `inverse` takes).
      batch_size: Positive `int`.
      seed: Python `int`, of inputs and perturbations.
      jit_compile: Python `bool`: whether it must compile with XLA.
      low: Python `float`, lower end of the inputs, for bijectors that are not defined everywhere.
      high: Their upper end.

    Raises:
      AssertionError: With the check that failed and by how much.
    """
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.uniform(low, high, [batch_size, *event_shape]), tf.float64)
    bijector = build(tf.float64)
    perturb(bijector, seed)
    check_round_trip(bijector, x)
    check_log_det(bijector, x)
    check_one_pass(bijector, x)
    check_constant_log_det(bijector, x)
    check_constant_jacobian(bijector, x)
    check_shapes(bijector, x)
    check_not_identity(bijector, x)
    check_batch_ranks(bijector, x)
    check_graph_modes(bijector, x, jit_compile)
    check_gradients(bijector, x)
    check_transformed_distribution(bijector, x)
    check_copy(bijector, x)
    check_independence(build, x, seed)
    check_checkpoint(build, bijector, x)
    check_single_precision(build, bijector, x)


def check_round_trip(bijector: tfb.Bijector, x: tf.Tensor, atol: float = 1e-9) -> None:
    """`forward(inverse(x)) == x`, with TFP's cache broken, and the other way round."""
    z = bijector.inverse(x)
    np.testing.assert_allclose(
        bijector.forward(tf.identity(z)), x, atol=atol, err_msg="forward(inverse(x)) != x"
    )
    x_again = bijector.forward(tf.identity(z))
    np.testing.assert_allclose(
        bijector.inverse(tf.identity(x_again)), z, atol=atol, err_msg="inverse(forward(z)) != z"
    )


def check_log_det(bijector: tfb.Bijector, x: tf.Tensor, rtol: float = 1e-9, atol: float = 1e-9) -> None:
    """Both log-determinants equal those of the Jacobian from automatic differentiation."""
    event_ndims = x.shape.rank - 1
    z = tf.identity(bijector.inverse(x))
    for name, function, value, log_det in (
        ("inverse", bijector.inverse, x, bijector.inverse_log_det_jacobian),
        ("forward", bijector.forward, z, bijector.forward_log_det_jacobian),
    ):
        with tf.GradientTape() as tape:
            tape.watch(value)
            result = function(value)
        jacobian = tape.batch_jacobian(result, value).numpy()
        size = int(np.prod(value.shape[1:]))
        expected = np.linalg.slogdet(jacobian.reshape([-1, size, size]))[1]
        actual = log_det(tf.identity(value), event_ndims=event_ndims)
        np.testing.assert_allclose(
            np.broadcast_to(actual, expected.shape),
            expected,
            rtol=rtol,
            atol=atol,
            err_msg=f"{name}_log_det_jacobian differs from autodiff",
        )


def check_constant_log_det(bijector: tfb.Bijector, x: tf.Tensor) -> None:
    """Where `is_constant_log_det`, or `is_constant_jacobian`, is claimed, it is the same for all x."""
    claims = [c for c in ("is_constant_jacobian", "is_constant_log_det") if getattr(bijector, c, False)]
    if not claims:
        return
    assert getattr(bijector, "is_constant_log_det", True), (
        "is_constant_jacobian, but not is_constant_log_det"
    )
    log_det = bijector.inverse_log_det_jacobian(x, event_ndims=x.shape.rank - 1)
    spread = float(np.ptp(log_det))
    assert spread < 1e-9, f"{claims[0]}, but the log-determinant varies by {spread:.3g}"


def check_constant_jacobian(bijector: tfb.Bijector, x: tf.Tensor) -> None:
    """A bijector that says `is_constant_jacobian` has the same dz/dx at the first two of x, by autodiff.

    TFP takes the mean and the mode of a `TransformedDistribution` through such a bijector.
    """
    if not bijector.is_constant_jacobian:
        return
    check_constant_log_det(bijector, x)
    with tf.GradientTape() as tape:
        points = tf.identity(x[:2])
        tape.watch(points)
        value = bijector.inverse(points)
    first, second = tape.batch_jacobian(value, points)
    spread = float(tf.reduce_max(abs(first - second)))
    assert spread < 1e-9, f"is_constant_jacobian, but the Jacobian varies by {spread:.3g}"


def check_shapes(bijector: tfb.Bijector, x: tf.Tensor) -> None:
    """The declared event shapes are those of the results, statically and as tensors."""
    z = bijector.inverse(x)
    image, latent = x.shape[1:], z.shape[1:]
    assert bijector.inverse_event_shape(image) == latent, "inverse_event_shape is wrong"
    assert bijector.forward_event_shape(latent) == image, "forward_event_shape is wrong"
    np.testing.assert_array_equal(bijector.inverse_event_shape_tensor(image.as_list()), latent)
    np.testing.assert_array_equal(bijector.forward_event_shape_tensor(latent.as_list()), image)


def check_not_identity(bijector: tfb.Bijector, x: tf.Tensor) -> None:
    """The perturbed bijector does something: an identity would pass most checks."""
    z = bijector.inverse(x)
    assert z.shape != x.shape or np.abs(z - x).max() > 1e-3, "the perturbed bijector is the identity"


def check_batch_ranks(bijector: tfb.Bijector, x: tf.Tensor) -> None:
    """Batch shapes `[]`, `[1]`, `[0]` and `[B, 1]` give what `[B]` gives."""
    event_ndims = x.shape.rank - 1
    z = bijector.inverse(x)
    log_det = np.broadcast_to(bijector.inverse_log_det_jacobian(x, event_ndims=event_ndims), [len(x)])
    for some, index in ((x[0], 0), (x[:1], slice(0, 1)), (x[:, tf.newaxis], None), (x[:0], "none")):
        some = tf.identity(some)
        value = bijector.inverse(some)
        ldj = bijector.inverse_log_det_jacobian(some, event_ndims=event_ndims)
        if index == "none":
            assert value.shape[0] == 0, f"an empty batch gave shape {value.shape}"
            continue
        wanted = z[:, tf.newaxis] if index is None else z[index]
        wanted_ldj = log_det[:, np.newaxis] if index is None else log_det[index]
        np.testing.assert_allclose(value, wanted, atol=1e-9, err_msg=f"batch {some.shape}")
        np.testing.assert_allclose(np.broadcast_to(ldj, np.shape(wanted_ldj)), wanted_ldj, atol=1e-9)
        np.testing.assert_allclose(bijector.forward(tf.identity(value)), some, atol=1e-9)


def check_graph_modes(bijector: tfb.Bijector, x: tf.Tensor, jit_compile: bool = True) -> None:
    """Eager, `tf.function`, an unknown batch size and XLA agree, values and gradients."""
    expected = _value_log_det_gradient(bijector, x)

    def compiled(**settings: Any) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
        # Without AutoGraph, which takes seconds and rewrites nothing that TFP calls.
        return tf.function(lambda v: _value_log_det_gradient(bijector, v), autograph=False, **settings)

    unknown_batch = tf.TensorSpec([None, *x.shape[1:]], x.dtype)
    functions = {
        "tf.function": compiled(),
        "an unknown batch size": compiled(input_signature=[unknown_batch]),
    }
    if jit_compile:
        functions["XLA"] = compiled(jit_compile=True)
    for mode, function in functions.items():
        for actual, wanted in zip(function(x), expected, strict=True):
            np.testing.assert_allclose(
                actual, wanted, rtol=1e-8, atol=1e-9, err_msg=f"{mode} differs from eager"
            )


def check_transformed_distribution(bijector: tfb.Bijector, x: tf.Tensor) -> None:
    """Inside TFP's own Chain and TransformedDistribution: log p(x) = log p(z) + log|det|."""
    event_ndims = x.shape.rank - 1
    shift = tfb.Shift(tf.constant(0.25, x.dtype))
    z = bijector.inverse(x - 0.25)
    base = tfd.Sample(tfd.Normal(tf.zeros([], x.dtype), tf.ones([], x.dtype)), z.shape[1:])
    distribution = tfd.TransformedDistribution(base, tfb.Chain([shift, bijector]))
    log_det = bijector.inverse_log_det_jacobian(tf.identity(x - 0.25), event_ndims=event_ndims)
    np.testing.assert_allclose(
        distribution.log_prob(x), base.log_prob(z) + log_det, rtol=1e-9, err_msg="log_prob"
    )
    sample = distribution.sample(2, seed=(0, 1))
    assert sample.shape == [2, *x.shape[1:]], f"samples have shape {sample.shape}"


def check_copy(bijector: tfb.Bijector, x: tf.Tensor) -> None:
    """`copy()` computes the same, from the same variables."""
    copy = bijector.copy()
    np.testing.assert_array_equal(copy.inverse(x), bijector.inverse(x), err_msg="copy() differs")
    ours = {id(v) for v in bijector.variables}
    assert {id(v) for v in copy.variables} == ours, "copy() does not share its variables"


def check_independence(build: Build, x: tf.Tensor, seed: int) -> None:
    """A result is never another bijector's, nor that of older variables, nor without a gradient."""
    first, second = build(x.dtype), build(x.dtype)
    if not first.trainable_variables:
        return
    perturb(first, seed)
    perturb(second, seed + 1)
    kept = _values(first, x)  # while a result is alive, TFP's cache knows it
    assert _difference(_values(second, x), kept) > 1e-6, "another bijector's result was returned"
    perturb(first, seed + 2)
    assert _difference(_values(first, x), kept) > 1e-6, "a result of older variables was returned"

    @tf.function(autograph=False)
    def before_and_after(increments):
        before = _values(first, x)
        for variable, increment in zip(first.trainable_variables, increments, strict=True):
            variable.assign_add(increment)
        return before, _values(first, x)

    before, after = before_and_after([0.01 * tf.ones_like(v) for v in first.trainable_variables])
    assert _difference(before, after) > 1e-6, "in a function, a result of older variables"
    with tf.GradientTape() as tape:
        values = _values(first, x)
    gradients = tape.gradient(values, first.trainable_variables)
    assert not all(g is None for g in gradients), "a cached result without gradients was returned"


def _values(bijector: tfb.Bijector, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`inverse` and its log-determinant, at the very tensor x."""
    event_ndims = x.shape.rank - 1
    return bijector.inverse(x), bijector.inverse_log_det_jacobian(x, event_ndims=event_ndims)


def _difference(first: Sequence[tf.Tensor], second: Sequence[tf.Tensor]) -> float:
    """The smaller of the largest differences in value and in log-determinant, if both may differ."""
    value, log_det = (float(tf.reduce_max(abs(a - b))) for a, b in zip(first, second, strict=True))
    return max(value, log_det) if log_det == 0 else min(value, log_det)


def check_checkpoint(build: Build, bijector: tfb.Bijector, x: tf.Tensor) -> None:
    """All state is tracked: a new bijector restored from a checkpoint computes the same."""
    other = build(x.dtype)
    perturb(other, 99)
    sources, targets = bijector.variables, other.variables
    assert len(sources) == len(targets), "two builds have different numbers of variables"
    with tempfile.TemporaryDirectory() as folder:
        path = tf.train.Checkpoint(bijector=bijector).write(f"{folder}/checkpoint")
        tf.train.Checkpoint(bijector=other).read(path).assert_consumed()
    np.testing.assert_array_equal(other.inverse(x), bijector.inverse(x), err_msg="checkpoint")


def check_single_precision(
    build: Build, bijector: tfb.Bijector, x: tf.Tensor, rtol: float = 1e-4, atol: float = 1e-4
) -> None:
    """In float32 value and log-determinant agree with float64."""
    single = build(tf.float32)
    for target, source in zip(single.variables, bijector.variables, strict=True):
        target.assign(tf.cast(source, target.dtype))
    x32 = tf.cast(x, tf.float32)
    event_ndims = x.shape.rank - 1
    z = single.inverse(x32)
    assert z.dtype == tf.float32, f"float32 in, {z.dtype.name} out"
    np.testing.assert_allclose(z, bijector.inverse(x), rtol=rtol, atol=atol, err_msg="float32")
    np.testing.assert_allclose(
        single.inverse_log_det_jacobian(x32, event_ndims=event_ndims),
        bijector.inverse_log_det_jacobian(x, event_ndims=event_ndims),
        rtol=rtol,
        atol=atol,
        err_msg="the float32 log-determinant",
    )


def _value_log_det_gradient(bijector: tfb.Bijector, x: tf.Tensor) -> tuple[tf.Tensor, ...]:
    with tf.GradientTape() as tape:
        x = tf.identity(x)
        tape.watch(x)
        z = bijector.inverse(x)
        log_det = bijector.inverse_log_det_jacobian(x, event_ndims=x.shape.rank - 1)
        total = tf.reduce_sum(z**2) + tf.reduce_sum(log_det)
    x_again = bijector.forward(tf.identity(z))
    return z, log_det, tape.gradient(total, x), x_again
