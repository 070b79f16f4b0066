"""Glow as a family: a density model over integer images, by dequantisation."""

import tensorflow as tf

from tfp_flows import bijectors
from tfp_flows.checks.errors import UserError
from tfp_flows.distributions.dequantized import Dequantized
from tfp_flows.models.family import Family, Method
from tfp_flows.models.glow.config import GlowConfig, GlowProtocol
from tfp_flows.models.glow.flow import dequantizer, glow
from tfp_flows.numerics import noise, quantization


def _build(config, image_shape, protocol, condition_size=0):
    return Dequantized(
        glow(config, image_shape, condition_channels=condition_size),
        num_samples=protocol.num_dequantization_samples,
        seed=protocol.noise_seed,
        bound=protocol.bound,
        dequantizer=dequantizer(config, image_shape),
    )


def _fresh_noise(model, images, seed):
    """Noise for each image of its own."""
    return noise.uniform(tf.shape(images), seed, model.dtype)


def _initialize(model, images, seed, **condition):
    y = model.draw(images, _fresh_noise(model, images, seed)).y
    bijectors.initialize_actnorms(model.flow.bijector, y, **condition)


def _training_log_prob(model, images, seed, **condition):
    return model.log_prob_of_draw(images, _fresh_noise(model, images, seed), **condition)


def _config_of(model):
    config = getattr(model.flow, "config", None)
    if not isinstance(config, GlowConfig):
        return None
    if config.dequantization != "uniform" and model.dequantizer is None:
        raise UserError(
            f"{model.name}: its flow's config has dequantization={config.dequantization!r}, but it has no "
            f"`dequantizer`; tfp_flows.dequantizer(config, image_shape) makes one."
        )
    made = None if model.dequantizer is None else getattr(model.dequantizer, "config", None)
    fits = made == config or (config.dequantization == "uniform" and model.dequantizer is None)
    return config if fits else None


def _methods(model):
    """encode, decode, log_prob_parts and log_density; noise is the first draw of the model's own."""
    flow = model.flow

    def encode(images):
        return {"latents": flow.bijector.inverse(model.dequantized(images))}

    def decode(latents):
        return {"images": tf.cast(quantization.quantize(flow.bijector.forward(latents)), tf.uint8)}

    def log_prob_parts(images):
        return model.terms(images)._asdict()

    def log_density(values):
        return {"log_density": model.log_density(values)}

    images = tf.TensorSpec([None, *flow.event_shape], tf.uint8, name="images")
    values = tf.TensorSpec([None, *flow.event_shape], flow.dtype, name="values")
    latents = tf.TensorSpec([None, *flow.event_shape], flow.dtype, name="latents")
    return {
        "encode": Method(encode, (images,)),
        "decode": Method(decode, (latents,)),
        "log_prob_parts": Method(log_prob_parts, (images,)),
        "log_density": Method(log_density, (values,)),
    }


def _least_weights(config, image_shape, given):
    """Of each coupling's network a product of hidden layers, what it is given, and what it says."""
    width, steps = config.hidden_channels, config.levels * config.steps_per_level + config.checkerboard_steps
    said = {"spline": config.num_bins, "mixture": config.num_components}.get(config.coupling, 1)
    noise = config.dequantization_steps * config.dequantization_channels**2
    return steps * width * (width + given + said) + noise * (config.dequantization != "uniform")


FAMILY = Family(
    name="glow",
    config_class=GlowConfig,
    protocol_class=GlowProtocol,
    build=_build,
    initialize=_initialize,
    training_log_prob=_training_log_prob,
    training_protocol=lambda config: GlowProtocol(),
    model_class=Dequantized,
    config_of=_config_of,
    methods=_methods,
    least_weights=_least_weights,
)
