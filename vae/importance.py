"""The importance-weighted bound of a latent-variable model's log-likelihood."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError
from tfp_flows.numerics import Seed, SeedLike, positions


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

    count, remainder = divmod(num_samples, chunk)
    if num_samples <= chunk:
        return _estimate(log_sums(pairs), num_samples)
    # Begun with no sample, not with the first `chunk`: so the graph of `chunk` samples is traced once.
    total = tf.fill([2, tf.shape(x)[0]], tf.constant(-np.inf, x.dtype))
    total = tf.ensure_shape(log_sums(pairs[:remainder]) if remainder else total, [2, x.shape[0]])
    rest = tf.reshape(pairs[remainder:], [count, chunk, 2])

    def add(i, total):
        more = log_sums(tf.ensure_shape(rest[i], [chunk, 2]))
        return i + 1, tf.reduce_logsumexp(tf.stack([total, more]), 0)

    _, total = tf.while_loop(lambda i, _: i < count, add, (0, total), parallel_iterations=1)
    return _estimate(total, num_samples)


def importance_weighted_map(
    x: tf.Tensor,
    prior: tfd.Distribution,
    encoder: Callable[[tf.Tensor], tfd.Distribution],
    decoder: Callable[[tf.Tensor], tfd.Distribution],
    num_samples: int,
    seed: SeedLike = 0,
) -> tf.Tensor:
    """The share of each pixel in the estimate of `importance_weighted_log_prob`: `[B, H, W]`, nats.

        m_hw = sum_k v_k log p(x_hw | z_k) + rest / (H W),     v_k = w_k / sum_j w_j

    Given z, pixels are independent; what is left to the estimate, the divergence of q from the prior and the
    logarithm of the mean, belongs to no pixel and is spread evenly. It sums to the estimate, of the same
    draws. Samples are decoded one by one.

    Args:
      x: `[B, H, W, C]`.
      prior: As for `importance_weighted_log_prob`.
      encoder: Likewise.
      decoder: Likewise; its distributions are `tfd.Independent` over positions.
      num_samples: K.
      seed: As `Seed.of` takes it.
    """
    posterior = encoder(x)
    seed = Seed.of(seed)
    pairs = seed.pairs(num_samples)

    def add(k: tf.Tensor, log_sum: tf.Tensor, mean: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """One more sample: (k + 1, log of the sum of weights `[B]`, mean of the maps by weight)."""
        z = posterior.sample(seed=seed._replace(pair=pairs[k]))
        by_pixel = _by_pixel(decoder(z), x)
        log_weight = tf.reduce_sum(by_pixel, [1, 2]) + prior.log_prob(z) - posterior.log_prob(z)
        log_total = tf.reduce_logsumexp(tf.stack([log_sum, log_weight]), 0)
        # Of an image that is impossible under all samples so far no weight is larger than another.
        possible = tf.not_equal(log_total, -np.inf)
        share = tf.where(possible, tf.exp(log_weight - log_total), 1.0 / tf.cast(k + 1, x.dtype))
        share = share[:, tf.newaxis, tf.newaxis]
        moved = (1.0 - share) * tf.where(share < 1.0, mean, 0.0) + share * tf.where(
            share > 0.0, by_pixel, 0.0
        )
        return k + 1, log_total, moved

    nothing = tf.reduce_sum(x, axis=-1) * 0.0
    first = (0, tf.reduce_sum(nothing, [1, 2]) - np.inf, nothing)
    _, log_sum, mean = tf.while_loop(lambda k, *_: k < num_samples, add, first, parallel_iterations=1)
    rest = log_sum - np.log(num_samples) - tf.reduce_sum(mean, [1, 2])
    rest = tf.where(tf.equal(log_sum, -np.inf), tf.zeros_like(rest), rest)
    return mean + positions.evenly(rest, x.shape[1:3])[..., 0]


def _by_pixel(distribution: tfd.Distribution, x: tf.Tensor) -> tf.Tensor:
    """log p of each pixel, `[B, H, W]`, of independent ones."""
    log_prob = distribution.distribution.log_prob(x)
    return log_prob if log_prob.shape.rank == 3 else tf.reduce_sum(log_prob, axis=-1)


def _estimate(log_sums, num_samples):
    log_sum, log_sum_of_squares = tf.unstack(log_sums)
    log_prob = log_sum - np.log(num_samples)
    if num_samples == 1:
        return ImportanceEstimate(log_prob, tf.fill(tf.shape(log_prob), tf.cast(np.nan, log_prob.dtype)))
    # Var[mean w] / mean(w)^2 = (K sum w^2 / (sum w)^2 - 1) / (K - 1)
    excess = tf.math.expm1(log_sum_of_squares - 2.0 * log_sum + np.log(num_samples))
    return ImportanceEstimate(log_prob, tf.sqrt(tf.maximum(excess, 0.0) / (num_samples - 1)))
