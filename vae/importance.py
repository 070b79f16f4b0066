"""The importance-weighted bound of a latent-variable model's log-likelihood."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError
from tfp_flows.numerics import Seed, SeedLike


class ImportanceEstimate(NamedTuple):
    """An estimate of log p(x), in nats.

    Attributes:
      log_prob: `[B]`; its expectation is a lower bound of log p(x).
      standard_error: `[B]`, of that logarithm, by the delta method; NaN for a single sample. Where one
        sample outweighs all others it comes to at most 1 and says too little.
    """

    log_prob: tf.Tensor
    standard_error: tf.Tensor


def importance_weighted_log_prob(
    x: tf.Tensor,
    prior: tfd.Distribution,
    encoder: Callable[[tf.Tensor], tfd.Distribution],
    decoder: Callable[[tf.Tensor], tfd.Distribution],
    num_samples: int,
    chunk: int = 1,
    seed: SeedLike = 0,
) -> ImportanceEstimate:
    """Estimates log p(x) = log E_q[w] by K samples of the encoder's posterior.

        log (1/K) sum_k w_k,    w_k = p(x | z_k) p(z_k) / q(z_k | x),    z_k ~ q(. | x)

    For K = 1 its expectation is the evidence lower bound; it never decreases in K, and tends to log p(x)
    (Burda et al. 2016, theorem 1). The sums over k are kept as logarithms; `chunk` samples are decoded at
    once, so that memory does not grow with K. Each sample has a seed of its own: the result does not depend
    on `chunk`.

    Args:
      x: `[B] + event`.
      prior: `tfd.Distribution` of z, batch shape `[]`.
      encoder: Callable x -> `tfd.Distribution` q(z | x), batch shape `[B]`.
      decoder: Callable z `[S, B] + latent` -> `tfd.Distribution` p(x | z), batch shape `[S, B]`.
      num_samples: K.
      chunk: Samples decoded at once.
      seed: As `Seed.of` takes it.

    Returns:
      `ImportanceEstimate`.

    Raises:
      ValueError: If `num_samples` or `chunk` is no positive integer.

    #### References

    [1]: Yuri Burda, Roger Grosse and Ruslan Salakhutdinov. Importance weighted autoencoders. ICLR 2016.
         https://arxiv.org/abs/1509.00519
    """
    for name, value in (("num_samples", num_samples), ("chunk", chunk)):
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise UserError(
                f"importance_weighted_log_prob: `{name}` must be a positive integer, got {value!r}."
            )
    posterior = encoder(x)
    seed = Seed.of(seed)
    pairs = seed.pairs(num_samples)

    def log_sums(pairs):
        """(log sum w, log sum w^2) `[2, B]` over as many samples as there are pairs of seeds."""
        z = tf.stack([posterior.sample(seed=seed._replace(pair=pair)) for pair in tf.unstack(pairs)])
        log_weights = decoder(z).log_prob(x) + prior.log_prob(z) - posterior.log_prob(z)
        return tf.stack([tf.reduce_logsumexp(log_weights, 0), tf.reduce_logsumexp(2.0 * log_weights, 0)])

    remainder = num_samples % chunk or min(chunk, num_samples)
    total = log_sums(pairs[:remainder])
    if num_samples > remainder:
        rest = tf.reshape(pairs[remainder:], [-1, chunk, 2])

        def add(i, total):
            return i + 1, tf.reduce_logsumexp(
                tf.stack([total, log_sums(tf.ensure_shape(rest[i], [chunk, 2]))]), 0
            )

        count = (num_samples - remainder) // chunk
        _, total = tf.while_loop(lambda i, _: i < count, add, (0, total), parallel_iterations=1)
    return _estimate(total, num_samples)


def _estimate(log_sums, num_samples):
    log_sum, log_sum_of_squares = tf.unstack(log_sums)
    log_prob = log_sum - np.log(num_samples)
    if num_samples == 1:
        return ImportanceEstimate(log_prob, tf.fill(tf.shape(log_prob), tf.cast(np.nan, log_prob.dtype)))
    # Var[mean w] / mean(w)^2 = (K sum w^2 / (sum w)^2 - 1) / (K - 1)
    excess = tf.math.expm1(log_sum_of_squares - 2.0 * log_sum + np.log(num_samples))
    return ImportanceEstimate(log_prob, tf.sqrt(tf.maximum(excess, 0.0) / (num_samples - 1)))
