"""A value and its log-determinant in one call: a part of the contract of bijectors that offer it."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

_PRODUCTS = ("Conv2D", "MatMul", "BatchMatMulV2", "Einsum")


def check_one_pass(bijector: tfb.Bijector, x: tf.Tensor) -> None:
    """`inverse_and_log_det` and `forward_and_log_det` are the two calls each, in one evaluation.

    The log-determinants are those of events of the bijector's own rank, one for each: `[...batch]`. Arrays
    do as tensors. A bijector without these methods passes.
    """
    if not hasattr(bijector, "inverse_and_log_det"):
        return
    z = tf.identity(bijector.inverse(x))
    for name, value in (("inverse", x), ("forward", z)):
        pair = getattr(bijector, f"{name}_and_log_det")
        single = getattr(bijector, name)
        expected = single(tf.identity(value)), getattr(bijector, f"{name}_log_det_jacobian")(value)
        for argument in (value, value.numpy()):
            _check_pair(pair(argument), expected, value, bijector.inverse_min_event_ndims, name)
        found, wanted = _count_products(pair, value), _count_products(single, value)
        assert found == wanted, f"{name}_and_log_det makes {found} products of tensors, {name} {wanted}"


def _check_pair(
    pair: tuple[tf.Tensor, tf.Tensor],
    expected: tuple[tf.Tensor, tf.Tensor],
    argument: tf.Tensor,
    event_ndims: int,
    name: str,
) -> None:
    log_det = pair[1]
    batch = argument.shape[: argument.shape.rank - event_ndims]
    assert log_det.shape == batch, f"{name}_and_log_det gives log-determinants {log_det.shape}, not {batch}"
    wanted = {name: expected[0], f"{name}_log_det_jacobian": np.broadcast_to(expected[1], batch)}
    for found, (function, value) in zip(pair, wanted.items(), strict=True):
        message = f"{name}_and_log_det differs from {function}"
        np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-9, err_msg=message)


def _count_products(function: Callable, value: tf.Tensor) -> int:
    """The products of tensors and convolutions in the graph of a call."""
    spec = tf.TensorSpec(value.shape, value.dtype)
    graph = tf.function(function, autograph=False).get_concrete_function(spec).graph
    return sum(operation.type in _PRODUCTS for operation in graph.get_operations())
