"""Mixed precision: inside `reduced`, convolutions and matrix products of the networks use fewer bits.

    with precision.reduced(tf.bfloat16):
        loss = ...          # traced here, and its gradient

Each product casts its two factors, and casts its result back: weights, biases, activations, flows,
log-determinants and losses keep their own type. It is what `torch.autocast` and Keras's "mixed_bfloat16" do
to such layers, and holds for the networks of this project, which call the functions below. bfloat16 has the
exponents of float32, so that no loss needs to be scaled (Kalamkar et al. 2019,
https://arxiv.org/abs/1905.12322). Outside `reduced` nothing is cast.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

_reduced: contextvars.ContextVar[tf.DType | None] = contextvars.ContextVar(
    "tfp_flows_precision", default=None
)


def dtype(choice: str) -> tf.DType | None:
    """The `tf.DType` of that name, or None for "none"."""
    return None if choice == "none" else tf.as_dtype(choice)


@contextlib.contextmanager
def reduced(products: tf.DType | None) -> Iterator[None]:
    """Lets products that are traced (or run) inside be of dtype `products`; None changes nothing."""
    token = _reduced.set(products)
    try:
        yield
    finally:
        _reduced.reset(token)


def matmul(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """`tf.matmul(a, b)`."""
    return _product(tf.matmul, a, b)


def conv2d(x: tf.Tensor, kernel: tf.Tensor, strides: int, padding: str) -> tf.Tensor:
    """`tf.nn.conv2d`."""
    return _product(tf.nn.conv2d, x, kernel, strides, padding)


def conv2d_transpose(
    x: tf.Tensor, kernel: tf.Tensor, output_shape: Sequence[int | tf.Tensor], strides: int, padding: str
) -> tf.Tensor:
    """`tf.nn.conv2d_transpose`."""
    return _product(tf.nn.conv2d_transpose, x, kernel, output_shape, strides, padding)


def _product(function: Callable[..., tf.Tensor], a: tf.Tensor, b: tf.Tensor, *args: Any) -> tf.Tensor:
    reduced_dtype = _reduced.get()
    if reduced_dtype is None:
        return function(a, b, *args)
    a = tf.convert_to_tensor(a)
    product = function(tf.cast(a, reduced_dtype), tf.cast(b, reduced_dtype), *args)
    return tf.cast(product, a.dtype)
