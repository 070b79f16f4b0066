"""PixelCNN as a family: what training, evaluation and export need to know of it."""

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


def _initialize(model, images, seed):
    del seed
    model.initialize(images)


def _training_log_prob(model, images, seed):
    return model.log_prob(images, dropout_seed=seed)


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
    sample=lambda model, n, seed, progress: model.sample(n, seed=seed, progress=progress),
    methods=_methods,
    noisy=False,
)
