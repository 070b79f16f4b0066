"""PixelCNN as a family: what training, evaluation and export need to know of it."""

import dataclasses

import tensorflow as tf

from pixelcnn.config import PixelCNNConfig, PixelCNNProtocol
from pixelcnn.model import PixelCNN
from tfp_flows.models.family import Family, Method


def _build(config, image_shape, protocol):
    del protocol
    return PixelCNN(
        image_shape,
        num_resnet=config.num_resnet,
        num_hierarchies=config.num_hierarchies,
        num_filters=config.num_filters,
        num_logistic_mix=config.num_logistic_mix,
        dropout_p=config.dropout,
        seed=config.seed,
        dtype=tf.as_dtype(config.dtype),
    )


def _config_of(model):
    """None for a condition or other grey levels, which no config has."""
    given = model.parameters
    if given["condition_size"] or given["high"] != 255:
        return None
    named = {**given, "dropout": given["dropout_p"], "dtype": model.dtype.name}
    return PixelCNNConfig(**{f.name: named[f.name] for f in dataclasses.fields(PixelCNNConfig)})


def _initialize(model, images, seed, **condition):
    del seed
    model.initialize(images, **condition)


def _training_log_prob(model, images, seed, **condition):
    return model.log_prob(images, dropout_seed=seed, **condition)


def _sample(model, n, seed, progress, temperature=1.0):
    return model.sample(n, seed=seed, progress=progress, temperature=temperature)


def _methods(model):
    """log_prob_parts: log P of each pixel given those before it."""
    images = tf.TensorSpec([None, *model.event_shape], tf.uint8, name="images")
    return {
        "log_prob_parts": Method(
            lambda images: {"pixel_log_probs": model.pixel_log_probs(images)}, (images,)
        )
    }


FAMILY = Family(
    name="pixelcnn",
    config_class=PixelCNNConfig,
    protocol_class=PixelCNNProtocol,
    build=_build,
    initialize=_initialize,
    training_log_prob=_training_log_prob,
    training_protocol=lambda config: PixelCNNProtocol(),
    model_class=PixelCNN,
    config_of=_config_of,
    sample=_sample,
    methods=_methods,
    noisy=False,
)
