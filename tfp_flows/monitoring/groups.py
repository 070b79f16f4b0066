"""What is kept of the images of a day, an hour or a batch."""

import bisect
import collections
import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from tfp_flows.monitoring.two_samples import Comparison, compare

STRANGEST = 5  # images whose names are kept


@dataclasses.dataclass
class Group:
    """Images of one day, hour or batch, as counts.

    Attributes:
      label: Its name.
      first: Number of its first row, from 1.
      last: Of its last.
      log_highest: ln of the highest wealth while it came.
      counts: How many images have each rank.
      strangest: (rank, -score, row, key) of the few smallest.
    """

    label: str
    first: int
    last: int = 0
    log_highest: float = -float("inf")
    counts: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    strangest: list[tuple[int, float, int, str]] = dataclasses.field(default_factory=list)

    def add(self, ranks: np.ndarray, logs: np.ndarray, last: int) -> None:
        """Counts images.

        Args:
          ranks: `[m]`.
          logs: ln of the wealth after each, `[m]`.
          last: Number of the row of the last.
        """
        found, counts = np.unique(ranks, return_counts=True)
        self.counts.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        self.log_highest = max(self.log_highest, float(logs.max()))
        self.last = last

    def consider(self, images: Iterable[tuple[int, float, int, str]]) -> None:
        """Keeps the strangest of those that are kept and `images`."""
        for image in images:
            if len(self.strangest) < STRANGEST or image < self.strangest[-1]:
                bisect.insort(self.strangest, image)
                del self.strangest[STRANGEST:]

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """(ranks that occur, ascending; how many images have each)."""
        items = sorted(self.counts.items())
        return np.array([rank for rank, _ in items]), np.array([count for _, count in items])

    def compare(self, num_calibration: int, foreign_rank: int) -> Comparison:
        """See `two_samples.compare`."""
        return compare(*self.arrays(), num_calibration, foreign_rank)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` makes the same group of."""
        ranks, counts = self.arrays()
        return dataclasses.asdict(self) | {"counts": [ranks.tolist(), counts.tolist()]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Group":
        """The group that `to_json` was of."""
        counts = collections.Counter(dict(zip(*values["counts"], strict=True)))
        strangest = [
            (int(k), float(score), int(row), str(key)) for k, score, row, key in values["strangest"]
        ]
        return cls(**values | {"counts": counts, "strangest": strangest})
