"""How a training went, by its numbers."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from tfp_flows.training.units import Unit


class Row(NamedTuple):
    """Means over the steps since the row before.

    Attributes:
      step: The last of them.
      loss: In the history's unit.
      gradient_norm: Global norm of the gradient, before it was clipped.
      learning_rate: At that step.
      examples_per_second: Apart from validations.
    """

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    examples_per_second: float


class Validation(NamedTuple):
    """A validation of the averaged weights.

    Attributes:
      step: After which it was.
      loss: Mean over the validation examples, in the history's unit.
    """

    step: int
    loss: float


@dataclasses.dataclass(frozen=True)
class History:
    """How a training went.

    Attributes:
      unit: Of every loss: "bits/dim", -log P / (D ln 2) of integer images, or "nats/dim", -log p / D, of
        anything else, D being the number of values in an example.
      rows: One for every `log_every` steps.
      validation: One for every `validate_every` steps.
      step: The last step.
    """

    unit: str
    rows: list[Row]
    validation: list[Validation]
    step: int

    @classmethod
    def of(cls, values: Mapping[int, Mapping[str, float | str]], unit: Unit, step: int) -> "History":
        """From the values of each step by the names of `metrics.columns`; what is not there may be ""."""
        names = (unit.name, "gradient_norm", "learning_rate", f"{unit.examples}_per_second")
        rows = [
            Row(at, *(float(found[name]) for name in names))
            for at, found in values.items()
            if found.get(unit.name, "") != ""
        ]
        validated = f"validation_{unit.name}"
        validation = [
            Validation(at, float(found[validated]))
            for at, found in values.items()
            if found.get(validated, "") != ""
        ]
        return cls(unit.label, rows, validation, step)
