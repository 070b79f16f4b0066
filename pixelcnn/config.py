"""What determines a PixelCNN; nothing here needs TensorFlow."""

import dataclasses
from typing import Any

from tfp_flows.checks import counts
from tfp_flows.checks.errors import UserError
from tfp_flows.models.settings import Settings

DTYPES = ("float32", "float64")
LEAST = {"num_resnet": 1, "num_hierarchies": 1, "num_filters": 1, "num_logistic_mix": 1, "seed": 0}


def _field(default: Any, text: str, **metadata: Any) -> Any:
    return dataclasses.field(default=default, metadata={"help": text, **metadata})


@dataclasses.dataclass(frozen=True)
class PixelCNNConfig:
    """What determines a PixelCNN, apart from the shape of its images; each field is also a flag."""

    num_resnet: int = _field(2, "Residual blocks of each hierarchy and stack on the way down.")
    num_hierarchies: int = _field(2, "Resolutions, each half the one before.")
    num_filters: int = _field(32, "Channels of the network.")
    num_logistic_mix: int = _field(10, "Logistic components of a pixel's distribution.")
    dropout: float = _field(0.0, "Probability of dropout in training.")
    seed: int = _field(0, "Seed of weights, data order and noise.")
    dtype: str = _field("float32", "Floating type of weights and latents.", choices=DTYPES)

    def __post_init__(self) -> None:
        """Raises `UserError` where a value makes no sense."""
        counts.keep_whole(self, LEAST)
        if not 0 <= self.dropout < 1:
            raise UserError(f"`dropout` must be in [0, 1), got {self.dropout!r}.")
        if self.dtype not in DTYPES:
            raise UserError(f"`dtype` must be one of {', '.join(DTYPES)}, got {self.dtype!r}.")


@dataclasses.dataclass(frozen=True)
class PixelCNNProtocol:
    """Nothing to choose: a PixelCNN's log-probability is exact."""


SETTINGS = Settings(PixelCNNConfig, PixelCNNProtocol, ("label", "autoencoder"))
