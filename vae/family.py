"""The VAE as a family: what training, evaluation and export need to know of it."""

import dataclasses

import tensorflow as tf

from tfp_flows.checks.errors import UserError
from tfp_flows.models.family import Family, Method
from vae.likelihoods import LIKELIHOODS
from vae.model import VAE
from vae.networks import ARCHITECTURES

DTYPES = ("float32", "float64")


def _field(default, text, **metadata):
    return dataclasses.field(default=default, metadata={"help": text, **metadata})


@dataclasses.dataclass(frozen=True)
class VAEConfig:
    """What determines a VAE, apart from the shape of its images; each field is also a flag."""

    latent_size: int = _field(50, "Dimensions of the latent.")
    architecture: str = _field(
        "rosca", "Networks: after Rosca et al., or two layers.", choices=list(ARCHITECTURES)
    )
    likelihood: str = _field(
        "categorical",
        "The decoder's distribution of a pixel: 256 levels, a mixture of discretised logistics, or black "
        "and white (for @binarize).",
        choices=list(LIKELIHOODS),
    )
    num_mixtures: int = _field(5, "Components of the logistic mixture.")
    num_importance_samples: int = _field(
        1, "Samples of the latent per image and step: 1 maximises the ELBO, more the tighter bound."
    )
    seed: int = _field(0, "Seed of the initial weights, the data order and the noise.")
    dtype: str = _field("float32", "Floating type of weights and latents.", choices=DTYPES)

    def __post_init__(self):
        """Raises `ValueError` where a value makes no sense."""
        for field in ("latent_size", "num_mixtures", "num_importance_samples"):
            value = getattr(self, field)
            if not isinstance(value, int) or value < 1:
                raise UserError(f"--{field} must be a positive integer, got {value!r}.")
        for field, choices in (
            ("architecture", ARCHITECTURES),
            ("likelihood", LIKELIHOODS),
            ("dtype", DTYPES),
        ):
            if getattr(self, field) not in choices:
                raise UserError(
                    f"--{field} must be one of {', '.join(choices)}, got {getattr(self, field)!r}."
                )


@dataclasses.dataclass(frozen=True)
class VAEProtocol:
    """How a VAE's log-probability is estimated: see `importance_weighted_log_prob`."""

    num_importance_samples: int = _field(64, "Samples of the latent per image.")
    noise_seed: int = _field(0, "Seed of the noise in log-probabilities.")

    def __post_init__(self):
        """Raises `ValueError` where a value makes no sense."""
        if self.num_importance_samples < 1:
            raise UserError(f"--num_importance_samples must be positive, got {self.num_importance_samples}.")
        if self.noise_seed < 0:
            raise UserError(f"--noise_seed must not be negative, got {self.noise_seed}.")


def _build(config, image_shape, protocol):
    return VAE(
        image_shape,
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
    values = {f.name: model.parameters[f.name] for f in dataclasses.fields(VAEConfig)}
    return VAEConfig(**values | {"dtype": model.dtype.name})


def _initialize(model, images, seed):
    """Nothing in a VAE is initialised from data."""
    del model, images, seed


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
)
