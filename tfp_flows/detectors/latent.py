"""The two terms of a VAE's evidence lower bound, for any posterior."""

from typing import NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.distributions.protocols import LatentVariableModel
from tfp_flows.numerics import noise


class ElboTerms(NamedTuple):
    """L = reconstruction - kl, each `[B]`, in nats.

    Attributes:
      reconstruction: E_q[log p(x | z)], by Monte Carlo.
      kl: KL(q || N(0, I)), in closed form.
    """

    reconstruction: tf.Tensor
    kl: tf.Tensor


def posterior_of(model: LatentVariableModel, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(mean, log scale) `[B, latent]` of the encoder's q(z | x)."""
    posterior = model.encode(images).distribution
    return tf.convert_to_tensor(posterior.loc), tf.math.log(posterior.scale)


def elbo_terms(
    model: LatentVariableModel,
    images: tf.Tensor,
    loc: tf.Tensor,
    log_scale: tf.Tensor,
    num_samples: int,
    seed: int,
) -> ElboTerms:
    """`ElboTerms` of images for the posterior N(loc, exp(log_scale)^2).

    The noise `[num_samples, 1, latent]` is shared by all images, so that a result depends on neither
    batch nor order.
    """
    draws = noise.normal([num_samples, 1, *loc.shape[1:]], seed, loc.dtype)
    standard = tfd.Normal(tf.zeros([], loc.dtype), tf.ones([], loc.dtype))
    kl = tf.reduce_sum(tfd.kl_divergence(tfd.Normal(loc, tf.exp(log_scale)), standard), axis=-1)
    log_probs = model.decode(loc + tf.exp(log_scale) * draws).log_prob(images)
    return ElboTerms(tf.reduce_mean(log_probs, axis=0), kl)
