"""PixelCNN as a family: what training, evaluation and export need to know of it."""

import dataclasses

import tensorflow as tf

from pixelcnn.autoencoder import PixelCNNAutoencoder
from pixelcnn.config import PixelCNNConfig, PixelCNNProtocol
from pixelcnn.model import PixelCNN
from tfp_flows.models.family import Family, Method
from tfp_flows.numerics import Seed


def _settings(config):
    return dict(
        num_resnet=config.num_resnet,
        num_hierarchies=config.num_hierarchies,
        num_filters=config.num_filters,
        num_logistic_mix=config.num_logistic_mix,
        dropout_p=config.dropout,
        seed=config.seed,
        dtype=tf.as_dtype(config.dtype),
    )


def _build(config, image_shape, protocol, condition_size=0):
    del protocol
    return PixelCNN(image_shape, condition_size=condition_size, **_settings(config))


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


def _with_code(code_size):
    """The auto-encoder: p(x | h(x)), h(x) of `code_size` numbers."""

    def build(config, image_shape, protocol):
        del protocol
        return PixelCNNAutoencoder(image_shape, code_size, **_settings(config))

    def initialize(model, images, seed):
        del seed
        model.initialize(images)

    def methods(model):
        images = tf.TensorSpec([None, *model.event_shape], tf.uint8, name="images")
        codes = tf.TensorSpec([None, code_size], model.dtype, name="codes")
        seed = tf.TensorSpec([], tf.int64, name="seed")

        def decode(codes, seed):
            pair = tf.cast(Seed.of(seed).pair, tf.int32)
            return {"images": tf.cast(model.sample(codes, pair), tf.uint8)}

        return {
            "encode": Method(lambda images: {"codes": model.encode(images)}, (images,)),
            "decode": Method(decode, (codes, seed)),
        }

    return dataclasses.replace(
        FAMILY,
        build=build,
        initialize=initialize,
        training_log_prob=lambda model, images, seed: model.log_prob_given_code(images, dropout_seed=seed),
        model_class=PixelCNNAutoencoder,
        config_of=lambda model: None,
        sample=None,
        methods=methods,
        with_code=None,
    )


def _least_weights(config, image_shape, given):
    """Of each block the product of its layers, and what it is given; of the last layer the mixtures."""
    filters, blocks = config.num_filters, config.num_resnet * config.num_hierarchies
    return blocks * filters * (filters + given) + filters * config.num_logistic_mix


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
    with_code=_with_code,
    least_weights=_least_weights,
)
