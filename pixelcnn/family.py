"""PixelCNN as a family: what training, evaluation and export need to know of it."""

import dataclasses

import tensorflow as tf

from pixelcnn.model import PixelCNN
from tfp_flows.checks.errors import UserError
from tfp_flows.models.family import Family, Method

DTYPES = ("float32", "float64")


def _field(default, text, **metadata):
    return dataclasses.field(default=default, metadata={"help": text, **metadata})


@dataclasses.dataclass(frozen=True)
class PixelCNNConfig:
    """What determines a PixelCNN, apart from the shape of its images; each field is also a flag."""

    num_resnet: int = _field(2, "Residual blocks of each hierarchy and stack on the way down.")
    num_hierarchies: int = _field(2, "Resolutions, each half the one before.")
    num_filters: int = _field(32, "Channels of the network.")
    num_logistic_mix: int = _field(10, "Logistic components of a pixel's distribution.")
    dropout: float = _field(0.0, "Probability of dropout in training.")
    seed: int = _field(0, "Seed of the initial weights, the data order and the noise.")
    dtype: str = _field("float32", "Floating type of weights and latents.", choices=DTYPES)

    def __post_init__(self):
        """Raises `ValueError` where a value makes no sense."""
        for field in ("num_resnet", "num_hierarchies", "num_filters", "num_logistic_mix"):
            value = getattr(self, field)
            if not isinstance(value, int) or value < 1:
                raise UserError(f"--{field} must be a positive integer, got {value!r}.")
        if not 0 <= self.dropout < 1:
            raise UserError(f"--dropout must be in [0, 1), got {self.dropout!r}.")
        if self.dtype not in DTYPES:
            raise UserError(f"--dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}.")


@dataclasses.dataclass(frozen=True)
class PixelCNNProtocol:
    """Nothing to choose: a PixelCNN's log-probability is exact."""


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
    sample=lambda model, n, seed, progress: model.sample(n, seed=seed, progress=progress),
    methods=_methods,
    noisy=False,
)
