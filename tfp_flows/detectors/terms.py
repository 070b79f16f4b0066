"""The terms that a model's log-probability consists of, for any kind of model."""

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows import bijectors
from tfp_flows.detectors import latent, models
from tfp_flows.distributions import Features, protocols
from tfp_flows.distributions.protocols import DensityModel, LatentVariableModel

NUM_SAMPLES = 4


def terms_of(model: DensityModel, images: tf.Tensor) -> tf.Tensor:
    """log p of images uint8 `[B, H, W, C]` and what it consists of: `[B, T]`, nats.

    (log p(x), log p(z), log|det dz/dy|) of a flow; (log p(x), E_q[log p(x | z)], KL(q || p(z))) of a VAE;
    (log p(x),) of any other model. A flow over vectors, any `tfd.TransformedDistribution` of such, has no
    dequantisation, and log p(x) alone where its log-determinant is known to be constant; of `Features` they
    are those of the density of features.
    """
    if isinstance(model, Features):
        return terms_of(model.flow_of_features, model.features(images))
    if models.is_vector_flow(model) and not bijectors.is_constant_log_det(model.bijector):
        return of_vector_flow(model, models.as_input(model, images))
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


def of_vector_flow(flow: tfd.Distribution, x: tf.Tensor) -> tf.Tensor:
    """(log p(x), log p(z), log|det dz/dx|) of vectors `[B, D]`: `[B, 3]`, nats."""
    z = flow.bijector.inverse(tf.identity(x))
    log_prob_z = flow.distribution.log_prob(z)
    # Known from the evaluation that gave z.
    log_det = -flow.bijector.forward_log_det_jacobian(z, event_ndims=1)
    return tf.stack([log_prob_z + log_det, log_prob_z, log_det], axis=-1)
