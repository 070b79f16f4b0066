"""A family whose models are given an image's low resolution: `SuperResolution`s of what it builds."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfp_flows.distributions.super_resolution import SuperResolution
from tfp_flows.models.family import Family, Method
from tfp_flows.numerics import Seed


def of_low_resolution(family: Family) -> Family:
    """The family of p(x | l(x)), a model of `family` that is given l(x), which has half the resolution.

    Args:
      family: One whose `build` takes `condition_size`, and whose models take a map as a condition.
    """

    def build(config: Any, image_shape: Sequence[int], protocol: Any) -> SuperResolution:
        return SuperResolution(family.build(config, image_shape, protocol, image_shape[-1]))

    def initialize(model: SuperResolution, images: tf.Tensor, seed: Any) -> None:
        given = model.condition(model.encode(images))
        family.initialize(model.conditional, images, seed, condition=given)

    def training_log_prob(model: SuperResolution, images: tf.Tensor, seed: Any) -> tf.Tensor:
        given = model.condition(model.encode(images))
        return family.training_log_prob(model.conditional, images, seed, condition=given)

    def config_of(model: SuperResolution) -> None:
        del model

    return dataclasses.replace(
        family,
        build=build,
        initialize=initialize,
        training_log_prob=training_log_prob,
        model_class=SuperResolution,
        config_of=config_of,
        sample=None,
        methods=_methods,
        with_code=None,
    )


def _methods(model: SuperResolution) -> dict[str, Method]:
    """encode (the low resolution), decode (an image drawn given one) and log_prob_given."""

    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"low_resolution": tf.cast(model.encode(images), tf.uint8)}

    def decode(low_resolution: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        pair = tf.cast(Seed.of(seed).pair, tf.int32)
        return {"images": tf.cast(model.sample(low_resolution, pair), tf.uint8)}

    def log_prob_given(images: tf.Tensor, low_resolution: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"log_prob": model.log_prob(images, low_resolution)}

    images = tf.TensorSpec([None, *model.event_shape], tf.uint8, name="images")
    low = tf.TensorSpec([None, *model.low_shape], tf.uint8, name="low_resolution")
    seed = tf.TensorSpec([], tf.int64, name="seed")
    return {
        "encode": Method(encode, (images,)),
        "decode": Method(decode, (low, seed)),
        "log_prob_given": Method(log_prob_given, (images, low)),
    }
