"""The VAE as a family: what training, evaluation and export need to know of it."""

import dataclasses

import tensorflow as tf

from tfp_flows.models.family import Family, Method
from vae.config import ARCHITECTURES, VAEConfig, VAEProtocol
from vae.model import VAE


def _build(config, image_shape, protocol, condition_size=0):
    return VAE(
        image_shape,
        condition_size=condition_size,
        latent_size=config.latent_size,
        architecture=config.architecture,
        likelihood=config.likelihood,
        num_mixtures=config.num_mixtures,
        num_importance_samples=protocol.num_importance_samples,
        noise_seed=protocol.noise_seed,
        seed=config.seed,
        dtype=tf.as_dtype(config.dtype),
    )


def _training_protocol(config):
    return VAEProtocol(num_importance_samples=config.num_importance_samples)


def _config_of(model):
    """None for a condition, which no config has."""
    if model.condition_size:
        return None
    values = {f.name: model.parameters[f.name] for f in dataclasses.fields(VAEConfig)}
    return VAEConfig(**values | {"dtype": model.dtype.name})


def _initialize(model, images, seed, **condition):
    """Nothing in a VAE is initialised from data."""
    del model, images, seed, condition


def _methods(model):
    """encode, decode (an image drawn from p(x | z)) and log_prob_parts (the terms of the ELBO)."""

    def encode(images):
        posterior = model.encode(images).distribution
        return {"mean": tf.identity(posterior.loc), "scale": tf.identity(posterior.scale)}

    def decode(latents):
        return {"images": tf.cast(model.decode(latents).sample(seed=(0, 0)), tf.uint8)}

    def log_prob_parts(images):
        terms = model.elbo(images, seed=(0, 0), shared_noise=True)
        return {"reconstruction": terms.reconstruction, "kl": terms.kl}

    images = tf.TensorSpec([None, *model.event_shape], tf.uint8, name="images")
    latents = tf.TensorSpec([None, *model.prior.event_shape], model.dtype, name="latents")
    return {
        "encode": Method(encode, (images,)),
        "decode": Method(decode, (latents,)),
        "log_prob_parts": Method(log_prob_parts, (images,)),
    }


def _least_weights(config, image_shape, given):
    """Of the dense layers, at an eighth of the resolution or more, and of the last layer."""
    channels = ARCHITECTURES[config.architecture][-1][0]
    positions = -(-image_shape[0] // 8) * -(-image_shape[1] // 8)
    mixtures = config.num_mixtures if config.likelihood == "logistic" else 1
    return (3 * config.latent_size + given) * channels * positions + mixtures


FAMILY = Family(
    name="vae",
    config_class=VAEConfig,
    protocol_class=VAEProtocol,
    build=_build,
    initialize=_initialize,
    training_log_prob=VAE.training_log_prob,
    training_protocol=_training_protocol,
    model_class=VAE,
    config_of=_config_of,
    methods=_methods,
    least_weights=_least_weights,
)
