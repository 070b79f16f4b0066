"""What determines a flow over vectors; nothing here needs TensorFlow."""

import dataclasses

from tfp_flows.checks.errors import UserError
from tfp_flows.models.settings import Settings

COUPLINGS = ("affine", "spline", "mixture")
SCALES = ("sigmoid", "exp", "tanh")
PRIORS = ("normal", "laplace", "logistic", "student_t")
DTYPES = ("float32", "float64")


@dataclasses.dataclass(frozen=True)
class VectorFlowConfig:
    """What determines a `vector_flow`, apart from the size of its vectors; see there."""

    num_steps: int = 8
    hidden_units: int = 64
    coupling: str = "affine"
    scale_form: str = "tanh"
    condition_size: int = 0
    prior: str = "normal"
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Raises `UserError` where a value is of the wrong kind."""
        for field, least in (("num_steps", 1), ("hidden_units", 1), ("condition_size", 0), ("seed", 0)):
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(f"vector_flow: `{field}` must be an integer >= {least}, got {value!r}.")
        choices = {"coupling": COUPLINGS, "scale_form": SCALES, "prior": PRIORS, "dtype": DTYPES}
        for field, known in choices.items():
            value = getattr(self, field)
            if value not in known:
                raise UserError(f"vector_flow: `{field}` must be one of {known}, got {value!r}.")


@dataclasses.dataclass(frozen=True)
class VectorFlowProtocol:
    """How a log-density is estimated: it is exact, and there is nothing to set."""


SETTINGS = Settings(VectorFlowConfig, VectorFlowProtocol)
