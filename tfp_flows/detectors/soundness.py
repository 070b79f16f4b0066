"""Whether arrays that were read from a detector's folder can be those of a detector."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.formula import Formula
from tfp_flows.detectors.hooks import Hooks

MOST_STATISTICS = 4  # of the kinds whose number does not follow from what was fitted


def check_calibration(scores: np.ndarray) -> None:
    """Refuses what no `calibrate` leaves: anything but float32 `[n]`, n >= 1, ascending, without NaN.

    Raises:
      DetectorError: With what is wrong, to follow "its calibration scores".
    """
    if scores.dtype != np.float32:
        raise DetectorError(f"must be float32, they are {scores.dtype}")
    if scores.ndim != 1 or not len(scores):
        raise DetectorError(f"must have shape [n] with n of 1 or more, they have {list(scores.shape)}")
    if np.isnan(scores).any():
        raise DetectorError("hold NaN")
    if (scores[1:] < scores[:-1]).any():
        raise DetectorError("are not in ascending order")


def check_fitted(hooks: Hooks, formula: Formula, num_statistics: int | None) -> None:
    """Refuses fitted arrays that are no numbers, or with which the formula makes no score of each row.

    Args:
      hooks: Of the detector.
      formula: With the arrays.
      num_statistics: S, or None where nothing says it: then some S must do.

    Raises:
      DetectorError: With what is wrong, to follow "its fitted".
    """
    for name, array in formula.fitted.items():
        if array.dtype.kind not in "biuf":
            raise DetectorError(f"{name} must be numbers, got {array.dtype}")
        unsound = np.isnan if name in hooks.may_be_infinite else lambda a: ~np.isfinite(a)
        if unsound(array).any():
            raise DetectorError(f"{name} holds NaN or infinity")
    sizes = _sizes(formula.fitted) if num_statistics is None else [num_statistics]
    if not any(_scores_rows(formula.in_graph, size) for size in sizes):
        shapes = ", ".join(f"{name} {list(a.shape)}" for name, a in formula.fitted.items())
        raise DetectorError(f"arrays do not fit its formula ({shapes})")


def _sizes(fitted: Mapping[str, np.ndarray]) -> list[int]:
    """The numbers of statistics to try."""
    found = {array.shape[-1] for array in fitted.values() if array.ndim}
    return sorted(found | set(range(1, MOST_STATISTICS + 1)))


def _scores_rows(in_graph: Callable[[tf.Tensor], tf.Tensor], num_statistics: int) -> bool:
    """Whether [B, S] becomes [B]; for two B, as either might be the size of a wrong array by chance."""
    try:
        return all(in_graph(tf.zeros([rows, num_statistics], tf.float64)).shape == [rows] for rows in (2, 3))
    except (tf.errors.OpError, ValueError, TypeError, KeyError, IndexError):
        return False
