"""The registry of model families: how each is built, initialised and trained."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfp_flows import bijectors, quantization
from tfp_flows.glow import GlowConfig, glow


@dataclasses.dataclass(frozen=True)
class Family:
    """What training, evaluation and export need to know of a kind of model.

    Attributes:
      name: As in `--family`.
      config_class: Frozen dataclass of its settings.
      build: `(config, image_shape, **evaluation) -> tfd.Distribution` over integer images `[H, W, C]`.
      initialize: `(model, images, seed) -> None`, data-dependent initialisation from a batch.
      training_log_prob: `(model, images, seed) -> [B]` in nats, with fresh noise from `seed` (a pair
        of integers); a lower bound of the log-probability where the model has no exact one.
    """

    name: str
    config_class: type
    build: Callable
    initialize: Callable
    training_log_prob: Callable


def family(name):
    """The family of this name.

    Raises:
      ValueError: If there is none; the message lists those there are.
    """
    if name not in _FAMILIES:
        raise ValueError(f"--family: unknown family {name!r}; there are {', '.join(_FAMILIES)}.")
    return _FAMILIES[name]


def names():
    """The names of all families."""
    return list(_FAMILIES)


def _build_glow(config, image_shape, **evaluation):
    return quantization.Dequantized(glow(config, image_shape), **evaluation)


def _dequantized_with_fresh_noise(model, images, seed):
    noise = quantization.uniform_noise(tf.shape(images), seed, model.dtype)
    return quantization.dequantize(images, noise)


def _initialize_glow(model, images, seed):
    images = _dequantized_with_fresh_noise(model, images, seed)
    bijectors.initialize_actnorms(model.flow.bijector, images)


def _glow_training_log_prob(model, images, seed):
    continuous = model.flow.log_prob(_dequantized_with_fresh_noise(model, images, seed))
    return continuous - np.prod(model.event_shape) * np.log(quantization.NUM_LEVELS)


_FAMILIES = {
    family.name: family
    for family in [
        Family("glow", GlowConfig, _build_glow, _initialize_glow, _glow_training_log_prob),
    ]
}
