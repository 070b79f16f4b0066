"""Split conformal p-values: a threshold for any score, valid for any distribution."""

import itertools
import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tfp_flows.detectors.errors import DetectorError

if TYPE_CHECKING:  # levels are known without it
    import tensorflow as tf

_CLOSE = 0.05  # of a step 1 / (n + 1): how near p-values, which are float32, come to the grid


def p_value(scores: "tf.Tensor", calibration_scores: "np.ndarray | tf.Tensor") -> "tf.Tensor":
    """The conformal p-value of each score, against those of held-out in-distribution images.

        p(s) = (1 + #{i : s_i >= s}) / (n + 1)

    If the n calibration images and the tested one are exchangeable, P(p <= alpha) <= alpha for every alpha,
    whatever the score and the distribution, and >= alpha - 1 / (n + 1) where no two scores are equal. It
    holds on average over calibration sets, and only if the calibration images were used for nothing else.

    Args:
      scores: Floating tensor `[B]`, higher = more out of distribution; infinity is allowed.
      calibration_scores: Tensor `[n]` of the same type, in ascending order.

    Returns:
      Tensor `[B]`, in [1 / (n + 1), 1].

    #### References

    [1]: Vladimir Vovk, Alex Gammerman and Glenn Shafer. Algorithmic learning in a random world. 2005.
    [2]: Stephen Bates et al. Testing for outliers with conformal p-values. Annals of Statistics, 2023.
         https://arxiv.org/abs/2104.08279
    """
    return tail_fraction(scores, calibration_scores)


def tail_fraction(values: "tf.Tensor", ascending: "np.ndarray | tf.Tensor") -> "tf.Tensor":
    """(1 + #{reference >= value}) / (n + 1) for each value, the references in ascending order."""
    import tensorflow as tf

    below = tf.searchsorted(ascending, values, side="left")
    count = tf.shape(ascending)[0]
    # A table, and in float64: else a graph makes a product with 1 / (n + 1) of it, which rounded in float32
    # could pass alpha.
    fractions = tf.cast(tf.range(count + 1, 0, -1), tf.float64) / tf.cast(count + 1, tf.float64)
    return tf.gather(tf.cast(fractions, values.dtype), below)


def sorted_scores(scores: npt.ArrayLike) -> np.ndarray:
    """`scores` in the form that `p_value` takes: float32, ascending, NaN as infinity.

    Raises:
      DetectorError: If there is none.
    """
    values = np.asarray(scores, np.float32)
    if not len(values):
        raise DetectorError("calibrate: at least one image is needed.")
    return np.sort(np.where(np.isnan(values), np.float32(np.inf), values))


def rank(alpha: float, num_calibration: int) -> int:
    """k, the largest integer with k / (n + 1) <= alpha: p(s) <= alpha where fewer than k of the n reach s.

    In float32, as p-values are, so that the answer is that of comparing them. The one function from which
    `attainable`, `images_needed` and `threshold` follow.

    Raises:
      DetectorError: If `alpha` is no number in (0, 1).
    """
    if not 0 < alpha < 1:
        raise DetectorError(f"`alpha` must be in (0, 1), got {alpha}.")
    k = int(alpha * (num_calibration + 1))
    return k + 1 if np.float32(k + 1) / np.float32(num_calibration + 1) <= np.float32(alpha) else k


def attainable(alpha: float, num_calibration: int) -> bool:
    """Whether a p-value against so many calibration images can be as small as `alpha`."""
    return rank(alpha, num_calibration) >= 1


def images_needed(alpha: float) -> int:
    """The fewest calibration images with which `alpha` is `attainable`."""
    fewest = max(int(1 / alpha) - 2, 0)
    return next(n for n in itertools.count(fewest) if attainable(alpha, n))


def threshold(alpha: float, ascending: np.ndarray) -> float:
    """The score above which, and only above which, p <= alpha: the k-th largest of the calibration scores.

    Args:
      alpha: In (0, 1).
      ascending: Calibration scores `[n]` in ascending order.

    Returns:
      Infinity where `alpha` is not `attainable`; minus infinity where it is 1 in float32: all p <= 1.
    """
    k = rank(alpha, len(ascending))
    if k > len(ascending):
        return float("-inf")
    return float(ascending[-k]) if k else float("inf")


def ranks_of_p_values(p_values: npt.ArrayLike, num_calibration: int) -> np.ndarray:
    """k of each p-value k / (n + 1), as near as float32 comes to it: int64 `[m]`; 0 where it is none."""
    steps = np.asarray(p_values, np.float64) * (num_calibration + 1)
    ranks = np.rint(steps)
    good = (np.abs(steps - ranks) <= _CLOSE) & (ranks >= 1) & (ranks <= num_calibration + 1)
    return np.where(good, ranks, 0).astype(np.int64)


def unattainable(alpha: float, num_calibration: int) -> str:
    """Why no image can be called out of distribution at `alpha`, and what to do, in one line."""
    return (
        f"{num_calibration} calibration images cannot give a p-value of {alpha:g} or less, so nothing "
        f"will be called out of distribution; give at least {images_needed(alpha)}."
    )


def level_text(alpha: float, ascending: np.ndarray) -> str:
    """What the level means for scores, in words: the threshold exactly, or why there is none.

    The number reads back as the same float32, so that comparing with it is comparing p-values.
    """
    if not attainable(alpha, len(ascending)):
        return unattainable(alpha, len(ascending)).removesuffix(".")
    limit = np.float32(threshold(alpha, ascending))
    return f"scores above {limit!s} have a p-value of {alpha:g} or less"


def need_level(alpha: float, num_calibration: int) -> None:
    """Refuses a level that no p-value can reach, before anything is scored.

    Raises:
      DetectorError: If `alpha` is not `attainable`, or no number in (0, 1).
    """
    if not attainable(alpha, num_calibration):
        reason = unattainable(alpha, num_calibration).removesuffix(".")
        raise DetectorError(f"`alpha`: {reason}, or take a higher level, or `allow_unattainable`.")


def check_level(alpha: float, num_calibration: int) -> None:
    """Warns where no p-value can be as small as `alpha`.

    Raises:
      DetectorError: If `alpha` is no number in (0, 1).
    """
    if not attainable(alpha, num_calibration):
        warnings.warn(unattainable(alpha, num_calibration), stacklevel=4)
