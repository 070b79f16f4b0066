"""What determines a flow over vectors; nothing here needs TensorFlow."""

import dataclasses
from typing import Any

from tfp_flows.checks import counts
from tfp_flows.checks.errors import UserError
from tfp_flows.models.settings import Settings

COUPLINGS = ("affine", "spline", "mixture")
SCALES = ("sigmoid", "exp", "tanh")
PRIORS = ("normal", "laplace", "logistic", "student_t")
DTYPES = ("float32", "float64")
LEAST = {"num_steps": 1, "hidden_units": 1, "condition_size": 0, "seed": 0}


def _field(default: Any, text: str, **metadata: Any) -> Any:
    return dataclasses.field(default=default, metadata={"help": text, **metadata})


@dataclasses.dataclass(frozen=True)
class VectorFlowConfig:
    """What determines a `vector_flow`, apart from the size of its vectors; see there.

    Each field but `condition_size` is also a flag, for tables.
    """

    num_steps: int = _field(
        8, "Of tables: steps of actnorm, linear layer and coupling; of fewer than 1,000 training rows 4."
    )
    hidden_units: int = _field(
        64, "Width of the two hidden layers of their couplings' networks; of so few rows 16."
    )
    coupling: str = _field("affine", "What a coupling does to a column.", choices=COUPLINGS)
    scale_form: str = _field("tanh", "Scale of their affine couplings, as --scale.", choices=SCALES)
    condition_size: int = 0
    prior: str = _field("normal", "Distribution of each latent dimension.", choices=PRIORS)
    seed: int = _field(0, "Seed of the initial weights and the order of the rows.")
    dtype: str = _field("float32", "Floating type of weights and vectors.", choices=DTYPES)

    def __post_init__(self) -> None:
        """Raises `UserError` where a value is of the wrong kind."""
        counts.keep_whole(self, LEAST, "vector_flow")
        choices = {"coupling": COUPLINGS, "scale_form": SCALES, "prior": PRIORS, "dtype": DTYPES}
        for field, known in choices.items():
            value = getattr(self, field)
            if value not in known:
                raise UserError(f"vector_flow: `{field}` must be one of {known}, got {value!r}.")


@dataclasses.dataclass(frozen=True)
class VectorFlowProtocol:
    """How a log-density is estimated: it is exact, and there is nothing to set."""


SETTINGS = Settings(VectorFlowConfig, VectorFlowProtocol)
