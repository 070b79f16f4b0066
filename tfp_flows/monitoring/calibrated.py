"""What is known of the calibration: its scores, or only how many there were; from scores to ranks."""

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from tfp_flows.checks import archives, files
from tfp_flows.checks.errors import UserError
from tfp_flows.detectors import calibration as levels
from tfp_flows.monitoring.errors import MonitoringError

MOST_CALIBRATION = 2**20  # images that are looked for, where a number is guessed
_CLOSE = 0.05  # of a step 1 / (n + 1): how near p-values, which are float32, come to the grid
_FEW = 64  # p-values that are looked at first


class Calibrated:
    """n calibration images, as far as they are known.

    Attributes:
      num_calibration: n.
      scores: Of these images, float32 `[n]`, ascending; None where only n is known.
    """

    def __init__(self, calibration: "npt.ArrayLike | int") -> None:
        """Keeps them.

        Args:
          calibration: Scores `[n]` in any order, infinity allowed; or n.

        Raises:
          MonitoringError: If there is none, or one is NaN.
        """
        found = np.asarray(calibration)
        self.scores: np.ndarray | None = None
        if found.ndim == 0:
            self.num_calibration = int(found)
        else:
            self.scores = np.sort(found.astype(np.float32).ravel())
            self.num_calibration = len(self.scores)
            if np.isnan(self.scores).any():
                raise MonitoringError("`calibration`: scores must not be NaN.")
        if self.num_calibration < 1:
            raise MonitoringError("`calibration`: at least one image is needed.")

    def ranks(self, scores: np.ndarray, uniforms: np.ndarray, seed: int) -> np.ndarray:
        """K = 1 + #{i : s_i above s}, 1 for the most foreign; equal scores are put in order at random.

        A calibration score keeps its place among its equals, drawn from the seed; so all scores together are
        as if there were no ties, and images that are exchangeable have exchangeable ranks.

        Args:
          scores: float32 `[m]`.
          uniforms: `[m]` in [0, 1): the place of each among its equals.
          seed: Of the places of the calibration scores.

        Returns:
          int64 `[m]`.
        """
        if self.scores is None:
            raise MonitoringError("`calibration`: the calibration scores are needed, not only their number.")
        low, high = (np.searchsorted(self.scores, scores, side) for side in ("left", "right"))
        places = np.random.Generator(np.random.PCG64([seed, 1])).random(self.num_calibration)
        above = self.num_calibration - high
        for i in np.flatnonzero(low < high):
            above[i] += (places[low[i] : high[i]] > uniforms[i]).sum()
        return 1 + above

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """The split conformal p-values, float64 `[m]`: (1 + #{s_i >= s}) / (n + 1), as in a table."""
        assert self.scores is not None
        below = np.searchsorted(self.scores, scores, "left")
        return (1 + self.num_calibration - below) / (self.num_calibration + 1)

    def ranks_of_p_values(self, p_values: np.ndarray) -> np.ndarray:
        """K of each p-value K / (n + 1): int64 `[m]`; 0 where it is none of these."""
        return levels.ranks_of_p_values(p_values, self.num_calibration)


def guess_num_calibration(p_values: np.ndarray) -> int | None:
    """The smallest n with which all p-values are k / (n + 1), to the precision of float32.

    It is n itself, once the p-values have enough different k: a smaller number fits only if n + 1 and every
    k that occurs share a factor.

    Args:
      p_values: `[m]`, in (0, 1].

    Returns:
      n; None where none up to `MOST_CALIBRATION` fits.
    """
    found = np.unique(np.asarray(p_values, np.float64))
    few = found[:: max(1, len(found) // _FEW)]
    for start in range(2, MOST_CALIBRATION + 2, 2**14):
        counts = np.arange(start, start + 2**14)
        for count in counts[_fit(few, counts)]:
            if _fit(found, np.array([count]))[0]:
                return int(count) - 1
    return None


def _fit(p_values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Whether all p-values are k / count, for each count; float32 rounds them by 2^-24 of themselves."""
    good = np.ones(len(counts), bool)
    for p in p_values:
        steps = p * counts
        good &= np.abs(steps - np.rint(steps)) <= np.minimum(steps * 2.0**-23 + 1e-9, _CLOSE)
    return good


def of_detector(folder: str | os.PathLike) -> Calibrated:
    """The calibration scores of a saved detector; no TensorFlow, and no model, is loaded.

    Raises:
      MonitoringError: If there is no detector, or it was not calibrated.
    """
    try:
        arrays = archives.read_all(os.path.join(folder, "arrays.npz"))
    except (OSError, UserError) as error:
        raise MonitoringError(
            f"`detector`: {os.fspath(folder)} is no detector: {_reason(error)}."
        ) from error
    scores = arrays.get("calibration_scores")
    if scores is None:
        raise MonitoringError(f"`detector`: {os.fspath(folder)} was not calibrated: it gives no p-values.")
    if scores.ndim != 1 or scores.dtype != np.float32:
        raise MonitoringError(f"`detector`: the calibration scores in {os.fspath(folder)} are damaged.")
    return Calibrated(scores)


def of_export(folder: str | os.PathLike) -> Calibrated:
    """How many calibration images the detector of an exported model has.

    Raises:
      MonitoringError: If there is no exported model, or it has no calibrated detector.
    """
    try:
        described: Any = files.read_json(os.path.join(folder, "signature.json"))
    except (OSError, UserError) as error:
        raise MonitoringError(
            f"`model`: {os.fspath(folder)} is no exported model: {_reason(error)}."
        ) from error
    detector = described.get("detector") if isinstance(described, dict) else None
    count = detector.get("num_calibration") if isinstance(detector, dict) else None
    if type(count) is not int or count < 1:
        raise MonitoringError(
            f"`model`: {os.fspath(folder)} was exported without a calibrated detector: it gives no p-values."
        )
    return Calibrated(count)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error).rstrip(".")
