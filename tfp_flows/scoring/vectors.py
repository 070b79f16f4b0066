"""Scores of the rows of a table, by an export of vectors or by a detector of them."""

import csv
import io
import os
import pathlib
from typing import Protocol

import numpy as np

from tfp_flows import data, detectors, runs, serving
from tfp_flows.detectors import calibration
from tfp_flows.scoring.table import FOREIGN, ScoringError, verdicts

AT_ONCE = 4096  # rows
MOST_COLUMNS = 3  # that are said to be strange


class ScorerOfVectors(Protocol):
    """What scores rows.

    Attributes:
      size: D.
      columns: What the D columns are called; none where it does not say.
      num_calibration: Of how many rows the p-values are; None where there are none.
    """

    size: int
    columns: list[str]
    num_calibration: int | None

    def __call__(self, vectors: np.ndarray, /) -> dict[str, np.ndarray]:
        """Numbers of vectors `[N, D]` by name, each `[N]`."""


class DetectorOfVectors:
    """A saved detector as such a scorer; of what it calls out it says by which columns."""

    def __init__(self, folder: str | os.PathLike, trust: bool = False) -> None:
        """Reads the detector in a folder; arguments and errors as of `detectors.load`."""
        self.detector = detectors.load(folder, trust=trust)
        (self.size,) = self.detector.image_shape or (0,)
        self.columns = list(self.detector.column_names)
        known = self.detector.calibration_scores
        self.num_calibration = None if known is None else len(known)

    def __call__(self, vectors: np.ndarray, /) -> dict[str, np.ndarray]:
        """`score`; `log_prob` in nats where the detector has it, `p_value` where it is calibrated."""
        statistics = self.detector.statistics(vectors)
        score = self.detector.score_statistics(statistics)
        found = {"log_prob": statistics[:, 0].astype(np.float32)} if self.detector.log_prob_first else {}
        found["score"] = score
        if self.num_calibration is not None:
            found["p_value"] = self.detector.p_value_of_scores(score)
        return found

    def strangest(self, vectors: np.ndarray) -> list[str]:
        """The strangest columns of each row, given all others, in standard deviations: "ash (+4.1); ..."."""
        of_columns = getattr(self.detector, "columns", None)
        if of_columns is None or not len(vectors):
            return [""] * len(vectors)
        called = self.columns or list(map(str, range(self.size)))
        found = of_columns(vectors)
        order = np.argsort(-np.abs(found), axis=1)[:, :MOST_COLUMNS]
        return [
            "; ".join(f"{called[place]} ({row[place]:+.1f})" for place in places)
            for row, places in zip(found, order, strict=True)
        ]


def score_table(
    folder: str | os.PathLike,
    table: str,
    out: str | os.PathLike,
    alpha: float = 0.05,
    allow_unattainable: bool = False,
    trust: bool = False,
) -> int:
    """Writes a CSV with a line for each row: row, log_prob, and with a detector score, p_value, verdict.

    With a detector's folder there is a last column, `columns`: of a row that is called out its three
    strangest ones.

    Args:
      folder: Of the export, as `serving.export_vectors` wrote it; or of a detector of vectors.
      table: .csv with or without a header, .npy `[N, D]`, or .npz with one such array. By a header columns
        are found by the export's names, and others left alone.
      out: .csv to write.
      alpha: p-value up to which a row is called out.
      allow_unattainable: Whether to score where no p-value can be so small.
      trust: As for `serving.ExportedVectors`.

    Returns:
      How many rows were scored.

    Raises:
      ScoringError: If the table cannot be read or is no such table, or `out` is no .csv or is there already.
      ExportedModelError: If the folder holds no export of vectors.
      DetectorError: If no p-value can be as small as `alpha`, or a detector is damaged.
    """
    if os.path.realpath(out) == os.path.realpath(table):
        raise ScoringError(f"`out`: {os.fspath(out)} is the table that is scored; name another file.")
    if pathlib.Path(out).suffix != ".csv":
        raise ScoringError(f"`out`: scores of vectors are written as .csv, got {os.fspath(out)}.")
    if pathlib.Path(out).exists():
        raise ScoringError(f"`out`: {os.fspath(out)} is there already; remove it to score anew.")
    pathlib.Path(out).parent.mkdir(parents=True, exist_ok=True)  # now, and not when all is scored
    by_detector = DetectorOfVectors(folder, trust) if detectors.description.are_vectors(folder) else None
    scorer: ScorerOfVectors = by_detector or serving.ExportedVectors(folder, trust)
    if scorer.num_calibration is not None and not allow_unattainable:
        calibration.need_level(alpha, scorer.num_calibration)
    rows = read_rows(table, scorer.size, scorer.columns)
    parts = [scorer(rows[start : start + AT_ONCE]) for start in range(0, len(rows), AT_ONCE)]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    names = [name for name in ("log_prob", "score", "p_value") if name in found]
    called = {"verdict": verdicts(found["p_value"], alpha)} if "p_value" in found else {}
    if by_detector is not None and called:
        foreign = called["verdict"] == FOREIGN
        said = np.full(len(rows), "", object)
        said[foreign] = by_detector.strangest(rows[foreign])
        called["columns"] = said
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *names, *called])
    for i in range(len(rows)):
        writer.writerow([i, *(f"{found[name][i]!s}" for name in names), *(c[i] for c in called.values())])
    runs.write_atomically(pathlib.Path(out), text.getvalue())
    return len(rows)


def read_rows(table: str, size: int, columns: list[str]) -> np.ndarray:
    """The rows of a table as finite numbers `[N, size]`, N > 0; arguments as of `score_table`."""
    try:
        rows = data.tables.rows_of(table, columns)
    except data.DataError as error:
        raise ScoringError(f"`images`: {str(error).removesuffix('.')}.") from error
    if rows.shape[1] != size:
        raise ScoringError(f"`images`: {table} must hold rows of {size} numbers, got {list(rows.shape)}.")
    return rows
