"""The terms that a model's log-probability consists of, for any kind of model."""

import tensorflow as tf

from tfp_flows.detectors import latent, models
from tfp_flows.distributions import protocols
from tfp_flows.distributions.protocols import DensityModel, LatentVariableModel

NUM_SAMPLES = 4


def terms_of(model: DensityModel, images: tf.Tensor) -> tf.Tensor:
    """log p of images uint8 `[B, H, W, C]` and what it consists of: `[B, T]`, nats.

    (log p(x), log p(z), log|det dz/dy|) of a flow; (log p(x), E_q[log p(x | z)], KL(q || p(z))) of a VAE;
    (log p(x),) of any other model.
    """
    if protocols.is_flow(model):
        terms = model.terms(images)
        return tf.stack([sum(terms), terms.log_prob_z, terms.log_det], axis=-1)
    log_prob = models.log_prob(model, images)
    if not isinstance(model, LatentVariableModel):
        return log_prob[:, tf.newaxis]
    images = models.as_input(model, images)
    loc, log_scale = latent.posterior_of(model, images)
    elbo = latent.elbo_terms(model, images, loc, log_scale, NUM_SAMPLES, seed=0)
    return tf.stack([log_prob, elbo.reconstruction, elbo.kl], axis=-1)
