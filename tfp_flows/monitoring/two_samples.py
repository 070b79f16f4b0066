"""Exact tests of some images of a stream against the calibration images: how many are foreign, and where."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # whose modules are imported when they are used

COVERAGE = 0.95  # of intervals and bands
_MANY = 2**16  # images


class Comparison(NamedTuple):
    """m images of a stream against n calibration images.

    Under exchangeability, with k the rank up to which an image is called foreign (p <= alpha):

    Attributes:
      images: m.
      foreign: X, how many have a rank of at most k.
      share: X / m.
      low: Of the 95 % interval of Clopper and Pearson for the share among all images like these.
      high: Likewise.
      expected: k / (n + 1), the share among images like the calibration images, on average.
      expected_low: Of the 95 % range of X / m: X is beta-binomial(m, k, n + 1 - k), which accounts for what
        the n calibration images happened to be.
      expected_high: Likewise.
      p_share: P(at least X), of that law; 1 where k is 0.
      p_shape: Of the two-sample test of Kolmogorov and Smirnov, calibration scores against these.
      p_value: min(1, 2 min(p_share, p_shape)): for either, by Bonferroni.
    """

    images: int
    foreign: int
    share: float
    low: float
    high: float
    expected: float
    expected_low: float
    expected_high: float
    p_share: float
    p_shape: float
    p_value: float


def compare(ranks: np.ndarray, counts: np.ndarray, num_calibration: int, foreign_rank: int) -> Comparison:
    """Compares images with the calibration images.

    Both tests are exact, given no ties, for any n and m: they are about orders of n + m exchangeable scores.
    Ranks say all about these orders that the tests use: Kolmogorov and Smirnov's statistic changes at
    calibration scores, between which it does not matter in which order others lie. (Where n or m is above
    10,000, scipy takes the limit law for that one.)

    Args:
      ranks: K, distinct integers `[r]` in 1, ..., n + 1.
      counts: How many images have each, `[r]`; m, at least 1, in all.
      num_calibration: n.
      foreign_rank: k; 0 where no p-value is small enough.
    """
    n, k, m = num_calibration, foreign_rank, int(counts.sum())
    foreign = int(counts[ranks <= k].sum())
    low, high = share_interval(foreign, m)
    expected_low, expected_high = expected_range(m, k, n)
    p_share = _tail(foreign, m, k, n)
    p_shape = _kolmogorov_smirnov(ranks, counts, n)
    p_value = min(1.0, 2 * min(p_share, p_shape))
    return Comparison(
        *(m, foreign, foreign / m, low, high, k / (n + 1), expected_low, expected_high),
        *(p_share, p_shape, p_value),
    )


def share_interval(foreign: int, images: int) -> tuple[float, float]:
    """The interval of Clopper and Pearson, which covers the share with at least `COVERAGE`."""
    tail = (1 - COVERAGE) / 2
    low = scipy.stats.beta.ppf(tail, foreign, images - foreign + 1) if foreign else 0.0
    high = scipy.stats.beta.isf(tail, foreign + 1, images - foreign) if foreign < images else 1.0
    return float(low), float(high)


def expected_range(images: int, places: int, num_calibration: int) -> tuple[float, float]:
    """The range that holds, with at least `COVERAGE`, the share of images that fall into so many places.

    Args:
      images: m.
      places: k, of the n + 1 between calibration scores.
      num_calibration: n.

    Returns:
      (low, high): quantiles of X / m; where m is above `_MANY`, of its limit, Beta(k, n + 1 - k).
    """
    if not 0 < places <= num_calibration:
        return float(places > 0), float(places > 0)
    tail = (1 - COVERAGE) / 2
    a, b = places, num_calibration + 1 - places
    if images > _MANY:
        return float(scipy.stats.beta.ppf(tail, a, b)), float(scipy.stats.beta.isf(tail, a, b))
    law = scipy.stats.betabinom.pmf(np.arange(images + 1), images, a, b)
    low = np.searchsorted(np.cumsum(law), tail)
    high = images - np.searchsorted(np.cumsum(law[::-1]), tail)
    return float(low) / images, float(high) / images


def _tail(foreign: int, images: int, places: int, num_calibration: int) -> float:
    """P(X >= foreign), X beta-binomial: summed from the shorter end."""
    if not 0 < places <= num_calibration or not foreign:
        return 1.0
    law = scipy.stats.betabinom(images, places, num_calibration + 1 - places)
    if foreign > images / 2:
        return min(1.0, float(law.pmf(np.arange(foreign, images + 1)).sum()))
    return max(0.0, 1.0 - float(law.pmf(np.arange(foreign)).sum()))


def discoveries(p_values: Sequence[float], level: float) -> list[bool]:
    """Which of several comparisons with one calibration set are more than chance.

    By Benjamini and Yekutieli: whatever the dependence, which the common calibration set brings, the
    expected share of false ones among those named is at most `level`.
    """
    if not p_values:
        return []
    adjusted = scipy.stats.false_discovery_control(p_values, method="by")
    return [bool(value <= level) for value in adjusted]


def _kolmogorov_smirnov(ranks: np.ndarray, counts: np.ndarray, num_calibration: int) -> float:
    """Calibration score number i, from the largest, is put at i, an image of rank K at K - 1/2."""
    calibration = np.arange(1.0, num_calibration + 1)
    return float(scipy.stats.ks_2samp(calibration, np.repeat(ranks - 0.5, counts)).pvalue)
