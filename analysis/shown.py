"""What the sets of a page are called, and how they are drawn: the same wherever they appear on it."""

from collections.abc import Iterable, Sequence

from analysis.study import RunStudy
from tfp_flows.data import Labels, names, printable
from tfp_flows.pages import pictures


class Shown:
    """Labels and styles of sets.

    Attributes:
      styles: {label: `pictures.Style`}, training images of own sets included.
    """

    def __init__(self, own: Iterable[str], others: Iterable[str]) -> None:
        """Gives each set its label and its colour.

        Args:
          own: Names of the sets that models were trained on; the first one has the first colour.
          others: Names of other sets.

        Raises:
          DataError: If two sets have the same alias.
        """
        own, others = list(own), list(others)
        self._names = dict.fromkeys([*own, *others])
        self.label = Labels([*own, *others])
        labels = [self.label(name) for name in [*own, *others]]
        self.styles = pictures.styles(labels, {self.train(name): self.label(name) for name in own})

    def train(self, name: str) -> str:
        """The label of a set's training images."""
        return f"{self.label(name)} (train)"

    def in_full(self) -> list[str]:
        """Lines that say which set is meant by a label that is not its name."""
        called = {self.label(name): printable(names.understood(name).text) for name in self._names}
        return [f"{label} is {name}." for label, name in called.items() if label != name]


def of_studies(studies: Sequence[RunStudy]) -> Shown:
    """The sets of a report."""
    return Shown([s.spec.dataset for s in studies], [name for s in studies for name in s.others])
