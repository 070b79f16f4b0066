"""Records of a training that need no folder: in memory, and for whoever wants to be called."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfp_flows.training.subject import Subject


class Memory:
    """Keeps all values.

    Attributes:
      rows: The values of each step, by the names of `metrics.columns`.
    """

    def __init__(self) -> None:
        """Keeps nothing yet."""
        self.rows: dict[int, dict[str, float]] = {}

    def __enter__(self) -> "Memory":
        """Does nothing."""
        return self

    def __exit__(self, *error: object) -> None:
        """Does nothing."""

    def add(self, step: int, **values: float) -> None:
        """Keeps them."""
        self.rows[step] = values

    def flush(self) -> None:
        """Does nothing."""


class Callbacks:
    """Calls functions, with the names of `History`: "loss" in the place of its unit."""

    def __init__(self, callbacks: Sequence[Callable[[int, Mapping[str, float], Any], object]], of: Subject):
        """Takes functions of (step, values, model), and what is trained."""
        self._callbacks = callbacks
        self._model = of.model
        self._names = {
            of.unit.name: "loss",
            f"validation_{of.unit.name}": "validation_loss",
            f"{of.unit.examples}_per_second": "examples_per_second",
        }

    def __enter__(self) -> "Callbacks":
        """Does nothing."""
        return self

    def __exit__(self, *error: object) -> None:
        """Does nothing."""

    def add(self, step: int, **values: float) -> None:
        """Calls them."""
        named = {self._names.get(name, name): value for name, value in values.items()}
        for callback in self._callbacks:
            callback(step, dict(named), self._model)

    def flush(self) -> None:
        """Does nothing."""
