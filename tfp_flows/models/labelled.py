"""A family whose models are given class labels: `ClassMixture`s of what the family builds."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows.data import Classes
from tfp_flows.distributions.class_mixture import ClassMixture
from tfp_flows.models.family import Family, Method
from tfp_flows.numerics import Seed


def of_labels(family: Family, classes: Classes) -> Family:
    """The family of p(x) = sum_y p(y) p(x | y), p(x | y) being a model of `family` that is given y.

    It is trained by log p(x | y) of each image's own label, with the noise of training of `family`.

    Args:
      family: One whose `build` takes `condition_size`.
      classes: What y may be, and how often each was seen, for p(y).
    """

    def build(config: Any, image_shape: Sequence[int], protocol: Any) -> ClassMixture:
        conditional = family.build(config, image_shape, protocol, len(classes))
        return ClassMixture(conditional, classes.counts, classes.names)

    return dataclasses.replace(of_mixtures(family), build=build)


def of_mixtures(family: Family) -> Family:
    """The same of mixtures that were built already: it builds none itself."""

    def initialize(model: ClassMixture, images: Any, seed: Any, **given: Any) -> None:
        if not given:  # nothing is known of the classes of these: any will do to set scales
            given = {"condition": np.arange(len(images)) % model.num_classes}
        family.initialize(model.conditional, images, seed, condition=model.condition(given["condition"]))

    def training_log_prob(model: ClassMixture, images: Any, seed: Any, condition: Any = None) -> tf.Tensor:
        if condition is not None:
            given = model.condition(condition)
            return family.training_log_prob(model.conditional, images, seed, condition=given)
        return _marginal(family, model, images, seed)

    def config_of(model: ClassMixture) -> None:
        del model

    return dataclasses.replace(
        family,
        initialize=initialize,
        training_log_prob=training_log_prob,
        model_class=ClassMixture,
        config_of=config_of,
        methods=_methods,
        with_code=None,
    )


def _marginal(family: Family, model: ClassMixture, images: tf.Tensor, seed: Any) -> tf.Tensor:
    """log p(x) with the noise of training, where no label is known: `[B]`, nats."""
    count = tf.shape(images)[0]

    def of_class(one: tf.Tensor) -> tf.Tensor:
        given = tf.repeat(one[tf.newaxis], count, 0)
        return family.training_log_prob(model.conditional, tf.identity(images), seed, condition=given)

    each = tf.eye(model.num_classes, dtype=model.dtype)
    found = tf.map_fn(of_class, each, parallel_iterations=1, fn_output_signature=model.dtype)
    logits = model.mixture_distribution.logits_parameter()
    return tf.reduce_logsumexp(found + logits[:, tf.newaxis], axis=0)


def _methods(model: ClassMixture) -> dict[str, Method]:
    """log_prob_given, posterior and sample_given: what needs a class, or says which."""

    def log_prob_given(images: tf.Tensor, classes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"log_prob": model.log_prob(images, condition=classes)}

    def posterior(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probs": model.posterior(images).probs_parameter()}

    def sample_given(classes: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        pair = tf.cast(Seed.of(seed).pair, tf.int32)
        images = model.sample(tf.shape(classes), seed=pair, condition=classes)
        return {"images": tf.cast(images, tf.uint8)}

    images = tf.TensorSpec([None, *model.event_shape], tf.uint8, name="images")
    classes = tf.TensorSpec([None], tf.int32, name="classes")
    seed = tf.TensorSpec([], tf.int64, name="seed")
    return {
        "log_prob_given": Method(log_prob_given, (images, classes)),
        "posterior": Method(posterior, (images,)),
        "sample_given": Method(sample_given, (classes, seed)),
    }
