"""Glow as a family: a density model over integer images, by dequantisation."""

import dataclasses

import tensorflow as tf

from tfp_flows import bijectors
from tfp_flows.checks.errors import UserError
from tfp_flows.distributions.dequantized import BOUNDS, Dequantized
from tfp_flows.models.family import Family, Method
from tfp_flows.models.glow.config import GlowConfig
from tfp_flows.models.glow.flow import glow
from tfp_flows.numerics import noise, quantization


def _field(default, text, **metadata):
    return dataclasses.field(default=default, metadata={"help": text, **metadata})


@dataclasses.dataclass(frozen=True)
class GlowProtocol:
    """How a Glow's log-probability of integer images is estimated: see `Dequantized`."""

    num_dequantization_samples: int = _field(1, "Draws of dequantisation noise per image.")
    bound: str = _field("mean", "How those draws are combined: see Dequantized.", choices=BOUNDS)
    noise_seed: int = _field(0, "Seed of the noise in log-probabilities.")

    def __post_init__(self):
        """Raises `ValueError` where a value makes no sense."""
        if self.num_dequantization_samples < 1:
            raise UserError(
                f"`num_dequantization_samples` must be positive, got {self.num_dequantization_samples}."
            )
        if self.noise_seed < 0:
            raise UserError(f"`noise_seed` must not be negative, got {self.noise_seed}.")


def _build(config, image_shape, protocol):
    return Dequantized(
        glow(config, image_shape),
        num_samples=protocol.num_dequantization_samples,
        seed=protocol.noise_seed,
        bound=protocol.bound,
    )


def _fresh_noise(model, images, seed):
    """Noise for each image of its own."""
    return noise.uniform(tf.shape(images), seed, model.dtype)


def _initialize(model, images, seed, **condition):
    y = quantization.dequantize(images, _fresh_noise(model, images, seed))
    bijectors.initialize_actnorms(model.flow.bijector, y, **condition)


def _training_log_prob(model, images, seed, **condition):
    return model.log_prob_of_draw(images, _fresh_noise(model, images, seed), **condition)


def _config_of(model):
    config = getattr(model.flow, "config", None)
    return config if isinstance(config, GlowConfig) else None


def _methods(model):
    """encode, decode and log_prob_parts; the noise is the first draw of the model's own."""
    flow = model.flow

    def encode(images):
        return {"latents": flow.bijector.inverse(model.dequantized(images))}

    def decode(latents):
        return {"images": tf.cast(quantization.quantize(flow.bijector.forward(latents)), tf.uint8)}

    def log_prob_parts(images):
        return model.terms(images)._asdict()

    images = tf.TensorSpec([None, *flow.event_shape], tf.uint8, name="images")
    latents = tf.TensorSpec([None, *flow.event_shape], flow.dtype, name="latents")
    return {
        "encode": Method(encode, (images,)),
        "decode": Method(decode, (latents,)),
        "log_prob_parts": Method(log_prob_parts, (images,)),
    }


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
)
