"""What is made of a table when all of its rows are there: q-values, verdicts by them, groups."""

import csv
import dataclasses
import math
import os
from collections.abc import Iterator

from tfp_flows.detectors import coverage
from tfp_flows.scoring.groups import GroupRow, Scored
from tfp_flows.scoring.q_values import QValues
from tfp_flows.scoring.table import FOREIGN, ScoringError


@dataclasses.dataclass
class Ending:
    """How a table ends, and what came of it.

    Attributes:
      alpha: Level of the verdicts without `fdr`.
      fdr: As for `detectors.select`; None: no q-values.
      storey: As for `detectors.select`.
      group_by: "folder" or None.
      num_calibration: How many calibration images the p-values are of; None where that is not known.
      q_values: Once they are known.
      groups: Likewise.
    """

    alpha: float = 0.05
    fdr: float | None = None
    storey: bool = False
    group_by: str | None = None
    num_calibration: int | None = None
    q_values: QValues | None = None
    groups: list[GroupRow] | None = None

    def __post_init__(self) -> None:
        """Refuses groups that there cannot be."""
        if self.group_by not in (None, "folder"):
            raise ScoringError(f"`group_by` must be 'folder' or None, got {self.group_by!r}.")
        if self.group_by is not None and self.num_calibration is None:
            raise ScoringError(
                "`group_by`: it is not known how many calibration images the p-values are of; give "
                "`num_calibration`."
            )

    def described(self) -> dict[str, object]:
        """What makes a job another one, by name, without what is not asked for."""
        asked = {"fdr": self.fdr, "storey": self.storey, "group_by": self.group_by}
        return {name: value for name, value in asked.items() if value}

    def lines(self) -> list[str]:
        """What came of it, in words; nothing where a job only cleared files away."""
        return [*self._of_images(), *self._of_groups()]

    def _of_images(self) -> list[str]:
        found = self.q_values
        if found is None or self.fdr is None:
            return []
        how = f"q <= {self.fdr:g}" + (f", p <= {found.threshold:.3g}" if found.selected else "")
        said = [f"{found.selected:,} of {found.images:,} are called out of distribution: {how}."]
        if not found.selected and found.images and self.num_calibration and not self.storey:
            why = coverage.unselectable(self.fdr, found.images, self.num_calibration)
            said += [why[:1].upper() + why[1:]] if why else []
        return said

    def _of_groups(self) -> list[str]:
        if self.groups is None:
            return []
        out = sum(row.verdict == FOREIGN for row in self.groups)
        how = f"p <= {self.alpha:g}" if self.fdr is None else f"q <= {self.fdr:g}"
        return [f"{out:,} of {len(self.groups):,} folders are stranger as a whole: {how}."]


def scored_rows(path: str | os.PathLike, after: int, q_values: QValues | None) -> Iterator[Scored]:
    """Rows of a table as CSV.

    Args:
      path: The table.
      after: Columns behind the verdict.
      q_values: By which the verdicts are, or None: as they stand.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows, None)
        for row in rows:
            text, verdict = row[-2 - after], row[-1 - after]
            if q_values is not None:
                verdict = q_values.texts(text.encode())[1].decode()
            yield Scored(row[0], float(text or math.nan), verdict)
