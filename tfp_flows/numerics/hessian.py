"""Traces of Hessians of log-densities: exact, or estimated with random probes."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from tfp_flows.checks.errors import UserError
from tfp_flows.numerics import noise
from tfp_flows.numerics.seed import Seed, SeedLike

DEFAULT_CHUNK = 64

LogProb: TypeAlias = Callable[[tf.Tensor], tf.Tensor]  # [B] + event -> [B]
Vectors: TypeAlias = Callable[[tf.Tensor], tf.Tensor]  # indices [k] -> vectors [k, B] + event
Reduce: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (indices, [k, B] + event) -> [k, B]


def hessian_trace(
    log_prob_fn: LogProb,
    x: tf.Tensor,
    weights: tf.Tensor | np.ndarray | None = None,
    num_probes: int | None = None,
    seed: SeedLike = 0,
    chunk: int | None = None,
    return_standard_error: bool = False,
) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
    """Tr(H D) of the Hessian H of `log_prob_fn` at each x, D = diag(weights) of any sign.

        exact:        sum_i  D_ii  e_i^T H e_i                          (d products with H)
        Hutchinson:   mean_k (D v_k)^T H v_k,   v_k in {-1, +1}^d       (K products with H)

    Both need products H v alone, never the d x d matrix, and a product costs about one more gradient.
    Hutchinson's estimate is unbiased for any D, also an indefinite one such as the difference of two
    covariances: E[v v^T] = I gives E[v^T D H v] = Tr(D H). (With sqrt(D) v in its place D would have
    to be positive.) Gradient and network are evaluated once; the products are taken `chunk` at a time.

    It serves any log-density that TensorFlow can differentiate twice: a flow's, with respect to dequantised
    images; a `tfd.PixelCNN`'s at relaxed, real-valued grey levels (its discretised logistics are smooth but
    at the edges 0 and 255; pass `lambda x: model.log_prob(x, training=False)`); a VAE's bound with its
    noise held fixed.

    Args:
      log_prob_fn: Function of `[B] + event` to `[B]`, twice differentiable by TensorFlow, each result
        depending on its own row alone.
      x: Floating tensor `[B] + event`; continuous (dequantised) values.
      weights: The diagonal of D, broadcast against the event or `[B] + event`; None for Tr(H).
      num_probes: Positive `int` K for Hutchinson's estimate; None for the exact trace.
      seed: Of the probes; an integer or a pair of them.
      chunk: How many products are taken at once, which bounds memory; by default 64.
      return_standard_error: Whether to return the standard error too: that of the K probes, zero where
        the trace is exact.

    Returns:
      Tensor `[B]`, in nats per squared unit of x times that of `weights`; a pair of them with
      `return_standard_error`.

    Raises:
      ValueError: If the shapes do not fit, `num_probes` or `chunk` is not positive, a standard error is
        asked of a single probe, or `log_prob_fn` has no gradient with respect to x (an integer input).
    """
    _check_numbers(num_probes, return_standard_error)
    if num_probes is None:
        diagonal = hessian_diagonal(log_prob_fn, x, chunk)
        weights = _weights(weights, diagonal)
        trace = tf.reduce_sum(weights * diagonal, axis=list(range(1, diagonal.shape.rank)))
        error = tf.zeros_like(trace)
    else:
        x = _checked(x)
        weights = _weights(weights, x)
        forms = _hutchinson_forms(log_prob_fn, x, weights, num_probes, seed, chunk)
        trace = tf.reduce_mean(forms, axis=0)
        error = tf.math.reduce_std(forms, axis=0) / max(num_probes - 1, 1) ** 0.5
    return (trace, error) if return_standard_error else trace


def hessian_diagonal(log_prob_fn: LogProb, x: tf.Tensor, chunk: int | None = None) -> tf.Tensor:
    """The diagonal of the Hessian of `log_prob_fn` at each x: H_ii = e_i^T H e_i, i < d.

    With it Tr(H D) is a sum of products for any diagonal D.

    Args:
      log_prob_fn: As for `hessian_trace`.
      x: Floating tensor `[B] + event`.
      chunk: How many products with H are taken at once; by default 64.

    Returns:
      Tensor `[B] + event`, nats per squared unit of x.

    Raises:
      ValueError: As `hessian_trace`.
    """
    x = _checked(x)
    dimensions = x.shape[1:].num_elements()

    def basis(indices):
        vectors = tf.reshape(tf.one_hot(indices, dimensions, dtype=x.dtype), [-1, 1, *x.shape[1:]])
        return tf.broadcast_to(vectors, tf.concat([tf.shape(indices), tf.shape(x)], 0))

    def entries(indices, products):  # e_i^T H e_i: entry i of the product
        flat = tf.reshape(products, [tf.shape(indices)[0], -1, dimensions])
        return tf.gather(flat, indices, axis=2, batch_dims=1)

    values = _in_chunks(log_prob_fn, x, basis, entries, dimensions, chunk)
    return tf.reshape(tf.transpose(values), tf.shape(x))


def hessian_quadratic_forms(
    log_prob_fn: LogProb, x: tf.Tensor, vectors: tf.Tensor | np.ndarray, chunk: int | None = None
) -> tf.Tensor:
    """v_k^T H v_k at each x, for given vectors: the curvature along a direction.

    Args:
      log_prob_fn: As for `hessian_trace`.
      x: Floating tensor `[B] + event`.
      vectors: Tensor `[K, B] + event`, or `[K, 1] + event` for the same at each x.
      chunk: How many products with H are taken at once; by default 64.

    Returns:
      Tensor `[K, B]`, nats where the vectors have the unit of x.

    Raises:
      ValueError: As `hessian_trace`.
    """
    x = _checked(x)
    vectors = tf.convert_to_tensor(vectors, x.dtype)
    if not vectors.shape[1:].is_compatible_with(x.shape) and vectors.shape[1:] != [1, *x.shape[1:]]:
        raise UserError(f"hessian_quadratic_forms: `vectors` must be [K] + {x.shape}, got {vectors.shape}.")

    def some(indices):
        chosen = tf.gather(vectors, indices)
        return tf.broadcast_to(chosen, tf.concat([tf.shape(indices), tf.shape(x)], 0))

    def forms(indices, products):
        return tf.reduce_sum(some(indices) * products, axis=list(range(2, x.shape.rank + 1)))

    return _in_chunks(log_prob_fn, x, some, forms, vectors.shape[0], chunk)


def _hutchinson_forms(log_prob_fn, x, weights, num_probes, seed, chunk):
    """(D v_k)^T H v_k of random v_k in {-1, +1}^d: `[num_probes, B]`."""
    seed = _probe_seed(seed)
    pairs = seed.pairs(num_probes)

    def probes(indices):
        return tf.map_fn(
            lambda pair: noise.signs(tf.shape(x), seed._replace(pair=pair), x.dtype),
            tf.gather(pairs, indices),
            fn_output_signature=x.dtype,
        )

    def forms(indices, products):
        axes = list(range(2, x.shape.rank + 1))
        return tf.reduce_sum(weights * probes(indices) * products, axis=axes)

    return _in_chunks(log_prob_fn, x, probes, forms, num_probes, chunk)


def _probe_seed(seed: SeedLike) -> Seed:
    """An integer n is the pair (n, 0) here, not (0, n): the probes are those of earlier versions."""
    if seed is None or isinstance(seed, Seed):
        return Seed.of(seed)
    integers = tf.convert_to_tensor(seed)
    return Seed.of(tf.stack([integers, tf.zeros_like(integers)]) if integers.shape.rank == 0 else integers)


def _in_chunks(
    log_prob_fn: LogProb, x: tf.Tensor, vectors: Vectors, reduce: Reduce, count: int, chunk: int | None
) -> tf.Tensor:
    """`count` products of the Hessian at x with `vectors`, `chunk` at a time, each reduced to `[B]`.

    Returns:
      `[count, B]`.
    """
    if chunk is not None and chunk < 1:
        raise UserError(f"hessian: `chunk` must be positive, got {chunk}.")
    chunk = min(chunk or DEFAULT_CHUNK, count)

    def compute():
        product = _hessian_product(log_prob_fn, x)

        def of_chunk(start):
            indices = tf.minimum(start + tf.range(chunk), count - 1)
            products = tf.vectorized_map(product, vectors(indices), fallback_to_while_loop=True)
            return reduce(indices, products)

        starts = tf.range(0, count, chunk)
        values = tf.map_fn(of_chunk, starts, parallel_iterations=1, fn_output_signature=x.dtype)
        return tf.reshape(values, [-1, tf.shape(x)[0]])[:count]

    # Eagerly each chunk would be vectorised, and traced, anew.
    return tf.function(compute)() if tf.executing_eagerly() else compute()


def _hessian_product(log_prob_fn: LogProb, x: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
    """v -> H v, both `[B] + event`; the network and its gradient are evaluated once, here."""
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            log_prob = log_prob_fn(x)
        gradient = inner.gradient(log_prob, x)
    _check_log_prob(log_prob, gradient, x)

    def product(vector):
        value = outer.gradient(gradient, x, output_gradients=vector)
        return tf.zeros_like(x) if value is None else value  # log_prob_fn is linear in x

    return product


def _checked(x):
    x = tf.identity(x)  # a tensor that no bijector's cache has seen
    if not x.dtype.is_floating or x.shape.rank is None or x.shape.rank < 2:
        raise UserError(f"hessian: `x` must be a floating tensor [B] + event, got {x.dtype.name} {x.shape}.")
    if not x.shape[1:].is_fully_defined():
        raise UserError(f"hessian: the event shape must be static, got {x.shape}.")
    return x


def _check_numbers(num_probes, return_standard_error):
    if num_probes is not None and num_probes < 1:
        raise UserError(f"hessian_trace: `num_probes` must be positive, got {num_probes}.")
    if return_standard_error and num_probes == 1:
        raise UserError("hessian_trace: a standard error needs num_probes of at least 2.")


def _check_log_prob(log_prob, gradient, x):
    if gradient is None:
        raise UserError(
            "hessian: log_prob_fn has no gradient with respect to x; give it continuous "
            "(dequantised) values, not integers."
        )
    if log_prob.shape.rank != 1 or not log_prob.shape.is_compatible_with(x.shape[:1]):
        raise UserError(f"hessian: log_prob_fn must map {x.shape} to {x.shape[:1]}, got {log_prob.shape}.")


def _weights(weights, x):
    if weights is None:
        return tf.ones_like(x)
    weights = tf.convert_to_tensor(weights, x.dtype)
    try:
        shape = tf.broadcast_static_shape(weights.shape, x.shape)
    except ValueError:
        shape = None
    if shape is None or not shape.is_compatible_with(x.shape):
        raise UserError(f"hessian_trace: `weights` of shape {weights.shape} do not broadcast to {x.shape}.")
    return weights
