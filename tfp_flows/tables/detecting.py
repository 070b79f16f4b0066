"""Detectors of runs of tables: fitted to validation rows, calibrated with calibration rows."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from tfp_flows import data, detectors, runs
from tfp_flows.detectors import calibration

FOLDER = "detector"
MOST_EXPLAINED = 3  # rows


@dataclasses.dataclass(frozen=True)
class Used:
    """How many rows a detector was fitted to, and calibrated with."""

    fit: int
    calibration: int


def fit_and_calibrate(
    detector: "detectors.Detector",
    spec: runs.RunSpec,
    parts: Mapping[str, data.Table],
    *,
    max_rows: int | None = None,
    calibrate_on: data.Table | None = None,
    alpha: float | None = None,
    trained_on: Sequence[runs.TrainedOn | None] = (),
    progress: bool = False,
) -> Used:
    """Fits a detector to a run's validation rows, and calibrates it with its calibration rows.

    Rows that were trained on all the same are left out, with a warning.

    Args:
      detector: To be fitted; changed.
      spec: Of the run.
      parts: The splits of its table.
      max_rows: To fit to, and to calibrate with, at most: a fixed random sample of either.
      calibrate_on: Another table to calibrate with instead, as a whole but for rows that are fitted to.
      alpha: A level that p-values must be able to reach; None for any.
      trained_on: What the runs of the detector's models were trained on, as far as they say.
      progress: Whether to show progress bars.

    Raises:
      DetectorError: If rows are too few.
    """
    dtype = spec.model.dtype
    fitted_to = parts[detector.fit_split].sample(max_rows or detector.most_fit_images)
    held_out = (calibrate_on or parts["calibration"]).sample(max_rows)
    held_out = _not_trained_on(held_out, dtype, trained_on)
    if detector.fit_split != "train":
        fitted_to = _not_trained_on(fitted_to, dtype, trained_on)
    if calibrate_on is not None:
        known = [runs.TrainedOn.of(fitted_to.as_type(dtype))]
        held_out = _not_trained_on(held_out, dtype, known, "are among those that the detector is fitted to")
    if alpha is not None:
        calibration.need_level(alpha, len(held_out))
    detector.fit(fitted_to.as_type(dtype), "fit" if progress else None)
    detector.calibrate(held_out.as_type(dtype), "calibrate" if progress else None)
    detector.column_names = parts["train"].columns
    return Used(len(fitted_to), len(held_out))


def make(
    run: runs.Run,
    spec: runs.RunSpec,
    parts: Mapping[str, data.Table],
    name: str,
    progress: bool = True,
) -> None:
    """Makes RUN/detector of the run's own rows; what keeps it from that is a warning.

    Args:
      run: A trained run.
      spec: The run's.
      parts: The splits of its table.
      name: Of the score.
      progress: Whether to show progress bars.
    """
    try:
        detector = detectors.of_runs(name, [run], {})
        known = [run.trained_on()]
        fit_and_calibrate(detector, spec, parts, trained_on=known, progress=progress)
        detector.save(run.folder / FOLDER)
    except (ValueError, np.linalg.LinAlgError) as error:  # too few rows; a singular covariance
        warnings.warn(f"There is no detector: {error}", data.DataWarning, stacklevel=2)


def explained(detector: "detectors.Detector", table: data.Table, alpha: float) -> list[str]:
    """The strangest rows of a table in words, the strangest first.

    Args:
      detector: Fitted and calibrated.
      table: Rows.
      alpha: Level of the verdict.
    """
    rows = detector.statistics.checked(table.rows)
    strangest = np.argsort(-detector.score(rows), kind="stable")[:MOST_EXPLAINED]
    return [
        f"row {table.places[place]}: {str(detector.explain(rows[place], alpha)).partition(': ')[2]}"
        for place in strangest
    ]


def _not_trained_on(
    table: data.Table,
    dtype: str,
    trained_on: Sequence[runs.TrainedOn | None],
    what: str = "were trained on",
) -> data.Table:
    """The rows without those that equal one of `trained_on`; `what` says of them why."""
    seen = np.any([known.holds(table.as_type(dtype)) for known in trained_on if known], axis=0)
    if not np.any(seen):
        return table
    count = f"{np.count_nonzero(seen):,} of the {len(table):,} {table.split} rows of {table.name}"
    if np.all(seen):
        raise detectors.DetectorError(f"{count} {what}: none is left to fit or to calibrate with.")
    warnings.warn(f"{count} {what}, and are left out.", data.DataWarning, stacklevel=3)
    return dataclasses.replace(table.select(np.flatnonzero(~seen)), total=table.total)
