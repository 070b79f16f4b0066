"""What determines a VAE, and how it is evaluated; nothing here needs TensorFlow."""

import dataclasses
from typing import Any

from tfp_flows.checks import counts
from tfp_flows.checks.errors import UserError
from tfp_flows.models.settings import Settings

# (channels, stride) of the encoder's layers; the decoder mirrors them.
ARCHITECTURES = {
    "rosca": ((8, 2), (16, 1), (32, 2), (64, 1), (64, 2)),
    "small": ((16, 2), (32, 2)),
}
LIKELIHOODS = ("categorical", "logistic", "bernoulli")
DTYPES = ("float32", "float64")


def _field(default: Any, text: str, **metadata: Any) -> Any:
    return dataclasses.field(default=default, metadata={"help": text, **metadata})


@dataclasses.dataclass(frozen=True)
class VAEConfig:
    """What determines a VAE, apart from the shape of its images; each field is also a flag."""

    latent_size: int = _field(50, "Dimensions of the latent.")
    architecture: str = _field(
        "rosca", "Networks: after Rosca et al., or two layers.", choices=tuple(ARCHITECTURES)
    )
    likelihood: str = _field(
        "categorical",
        "The decoder's distribution of a pixel: 256 levels, a mixture of discretised logistics, or black "
        "and white (for @binarize).",
        choices=LIKELIHOODS,
    )
    num_mixtures: int = _field(5, "Components of the logistic mixture.")
    num_importance_samples: int = _field(
        1, "Samples of the latent per image and step: 1 maximises the ELBO, more the tighter bound."
    )
    seed: int = _field(0, "Seed of weights, data order and noise.")
    dtype: str = _field("float32", "Floating type of weights and latents.", choices=DTYPES)

    def __post_init__(self) -> None:
        """Raises `UserError` where a value makes no sense."""
        counts.keep_whole(
            self, {"latent_size": 1, "num_mixtures": 1, "num_importance_samples": 1, "seed": 0}
        )
        for field, choices in (
            ("architecture", ARCHITECTURES),
            ("likelihood", LIKELIHOODS),
            ("dtype", DTYPES),
        ):
            if getattr(self, field) not in choices:
                raise UserError(
                    f"`{field}` must be one of {', '.join(choices)}, got {getattr(self, field)!r}."
                )


@dataclasses.dataclass(frozen=True)
class VAEProtocol:
    """How a VAE's log-probability is estimated: see `importance_weighted_log_prob`."""

    num_importance_samples: int = _field(64, "Samples of the latent per image.")
    noise_seed: int = _field(0, "Seed of the noise in log-probabilities.")

    def __post_init__(self) -> None:
        """Raises `UserError` where a value makes no sense."""
        counts.keep_whole(self, {"num_importance_samples": 1, "noise_seed": 0})


SETTINGS = Settings(VAEConfig, VAEProtocol, ("label",))
