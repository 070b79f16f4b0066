"""Traces of Hessians of log-densities: exact, or estimated with random probes."""

import tensorflow as tf


def hessian_trace(
    log_prob_fn,
    x,
    weights=None,
    num_probes=None,
    seed=0,
    chunk=None,
    return_standard_error=False,
):
    """Tr(H D) of the Hessian H of `log_prob_fn` at each x, D = diag(weights) of any sign.

        exact:        sum_i  D_ii  e_i^T H e_i                          (d products with H)
        Hutchinson:   mean_k (D v_k)^T H v_k,   v_k in {-1, +1}^d       (K products with H)

    Both need products H v alone, never the d x d matrix, and a product costs about one more gradient.
    Hutchinson's estimate is unbiased for any D, also an indefinite one such as the difference of two
    covariances: E[v v^T] = I gives E[v^T D H v] = Tr(D H). (With sqrt(D) v in its place D would have
    to be positive.) Gradient and network are evaluated once; the products are taken `chunk` at a time.

    Args:
      log_prob_fn: Function of `[B] + event` to `[B]`, twice differentiable by TensorFlow, each result
        depending on its own row alone.
      x: Floating tensor `[B] + event`; continuous (dequantised) values.
      weights: The diagonal of D, broadcast against the event or `[B] + event`; None for Tr(H).
      num_probes: Positive `int` K for Hutchinson's estimate; None for the exact trace.
      seed: Python `int` or a pair of them, of the probes.
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
    x = tf.convert_to_tensor(x)
    _check(x, num_probes, chunk, return_standard_error)
    event_shape = x.shape[1:]
    dimensions = event_shape.num_elements()
    weights = tf.ones_like(x) if weights is None else _broadcast(weights, x)
    if num_probes is None:
        count = dimensions

        def probes(indices):
            basis = tf.one_hot(indices, dimensions, dtype=x.dtype)
            basis = tf.reshape(basis, [-1, 1, *event_shape])
            return tf.broadcast_to(basis, tf.concat([tf.shape(indices), tf.shape(x)], 0))

    else:
        count = num_probes
        seeds = tf.random.experimental.stateless_split(_pair(seed), num_probes)

        def probes(indices):
            draw = tf.map_fn(
                lambda s: tf.random.stateless_uniform(tf.shape(x), s, 0, 2, tf.int32),
                tf.gather(seeds, indices),
                fn_output_signature=tf.int32,
            )
            return tf.cast(2 * draw - 1, x.dtype)

    terms = _quadratic_forms(log_prob_fn, x, weights, probes, count, min(chunk or 64, count))
    if num_probes is None:
        trace, error = tf.reduce_sum(terms, axis=0), tf.zeros_like(terms[0])
    else:
        trace = tf.reduce_mean(terms, axis=0)
        error = tf.math.reduce_std(terms, axis=0) / max(num_probes - 1, 1) ** 0.5
    return (trace, error) if return_standard_error else trace
