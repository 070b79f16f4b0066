"""Groups of images of one source, as one: which folders are stranger than the calibration images."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import scipy  # whose modules are imported when they are used

from tfp_flows.detectors import calibration, group_test
from tfp_flows.scoring.table import FOREIGN, OWN, ScoringError, csv_text

NO_FOLDER = "."  # of a key without a slash


class GroupRow(NamedTuple):
    """A row of OUT.groups.csv; the strangest group is the first.

    Attributes:
      group: The folder, escaped as keys are.
      images: How many of its images were scored.
      out: How many of these have the verdict "out".
      p_value: Of `detectors.group_p_value`: all of its images against the calibration images.
      q_value: Of Benjamini and Yekutieli over the groups: they share the calibration images, and their
        p-values may depend on each other in any way.
      verdict: "out" where the q-value is at most fdr, or, without, the p-value at most alpha; else "in".
    """

    group: str
    images: int
    out: int
    p_value: float
    q_value: float
    verdict: str


COLUMNS = GroupRow._fields


class Scored(NamedTuple):
    """What is taken of a row of the table."""

    key: str
    p_value: float
    verdict: str


def folder_of(key: str) -> str:
    """The group of a key: what stands before its last slash."""
    return key.rpartition("/")[0] or NO_FOLDER


def group_rows(
    rows: Iterable[Scored], num_calibration: int, fdr: float | None = None, alpha: float = 0.05
) -> list[GroupRow]:
    """The groups of a table.

    Args:
      rows: Of the table; those without a p-value are left out.
      num_calibration: n.
      fdr: Of the verdicts on groups; None: by `alpha`.
      alpha: Likewise.

    Raises:
      ScoringError: If a p-value is no k / (n + 1).
    """
    sums: dict[str, list[int]] = {}  # images, out, sum of k - 1
    grid: dict[float, int] = {}
    for row in rows:
        if np.isnan(row.p_value):
            continue
        rank = grid.get(row.p_value)
        if rank is None:
            rank = grid[row.p_value] = int(calibration.ranks_of_p_values(row.p_value, num_calibration))
            if not rank:
                raise ScoringError(
                    f"`group_by`: the p-value {row.p_value:g} of {row.key} is not k / "
                    f"{num_calibration + 1}, as {num_calibration} calibration images give."
                )
        found = sums.setdefault(folder_of(row.key), [0, 0, 0])
        found[0] += 1
        found[1] += row.verdict == FOREIGN
        found[2] += rank - 1
    names = list(sums)
    p_values = [group_test.rank_sum_tail(t, m, num_calibration) for m, _, t in sums.values()]
    q_values = scipy.stats.false_discovery_control(p_values, method="by").tolist() if names else []
    decisive, level = (p_values, alpha) if fdr is None else (q_values, fdr)
    made = [
        GroupRow(name, sums[name][0], sums[name][1], p, q, FOREIGN if value <= level else OWN)
        for name, p, q, value in zip(names, p_values, q_values, decisive, strict=True)
    ]
    return sorted(made, key=lambda row: (row.p_value, row.group))


def groups_text(rows: Iterable[GroupRow]) -> str:
    """The table of groups as CSV."""
    return csv_text([COLUMNS, *_texts(rows)])


def _texts(rows: Iterable[GroupRow]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        numbers = str(row.images), str(row.out), f"{row.p_value:.6g}", f"{row.q_value:.6g}"
        yield row.group, *numbers, row.verdict
