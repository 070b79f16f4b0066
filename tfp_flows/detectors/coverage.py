"""What to expect of a calibration set: how many false alarms, and how small p-values and q-values become."""

import math
from typing import NamedTuple

import numpy as np

from tfp_flows.detectors import calibration
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.false_discoveries import check_fdr

ALPHAS = (0.1, 0.05, 0.01, 0.001)
IMAGES = 10_000  # of which false alarms are told
COVERAGE = 0.9


class FalseAlarms(NamedTuple):
    """The rate of false alarms at a level, k = `calibration.rank(alpha, n)`; all 0 where k is 0.

    Attributes:
      expected: k / (n + 1), over calibration sets.
      low: Of the central range that holds the rate for 90 % of calibration sets.
      high: Likewise.
    """

    expected: float
    low: float
    high: float


def false_alarms(alpha: float, num_calibration: int, coverage: float = COVERAGE) -> FalseAlarms:
    """How many images of the model's own kind are called out of distribution, given n calibration images.

    An image is called so where its score is above the k-th largest of the n calibration scores. Where scores
    are continuous, the share of own images above it is, over calibration sets,

        Beta(k, n + 1 - k),

    as an order statistic of uniform numbers [1]: it is what it is for the one set that there is, and larger
    sets make it surer. Where scores repeat, it is at most that.

    Args:
      alpha: In (0, 1).
      num_calibration: n, at least 1.
      coverage: Share of calibration sets that the range holds.

    Raises:
      DetectorError: If a value makes no sense.

    #### References

    [1]: Vladimir Vovk. Conditional validity of inductive conformal predictors. Machine Learning, 2013.
         https://arxiv.org/abs/1209.2673
    """
    from scipy import stats

    _check_number(num_calibration, "num_calibration")
    if not 0 < coverage < 1:
        raise DetectorError(f"`coverage` must be in (0, 1), got {coverage}.")
    k = calibration.rank(alpha, num_calibration)
    if not k:
        return FalseAlarms(0.0, 0.0, 0.0)
    if k == num_calibration + 1:  # everything is called so
        return FalseAlarms(1.0, 1.0, 1.0)
    tail = (1 - coverage) / 2
    law = stats.beta(k, num_calibration + 1 - k)
    return FalseAlarms(k / (num_calibration + 1), float(law.ppf(tail)), float(law.isf(tail)))


def expectations(num_calibration: int) -> str:
    """What `detect` says of n calibration images: an aligned table of seven lines."""
    n = num_calibration
    lines = [
        f"False alarms among {IMAGES:,} images of the model's own kind, given {n:,} calibration images:",
        f"{'alpha':>8}{'expected':>12}    in {100 * COVERAGE:.0f} % of calibration sets",
    ]
    for alpha in ALPHAS:
        if not calibration.attainable(alpha, n):
            needed = calibration.images_needed(alpha)
            lines.append(f"{alpha:>8g}{'none':>12}    it takes {needed:,} calibration images")
            continue
        found = [f"{IMAGES * rate:,.0f}" for rate in false_alarms(alpha, n)]
        lines.append(f"{alpha:>8g}{found[0]:>12}    {found[1]} to {found[2]}")
    smaller = 10.0 ** math.floor(math.log10(0.999 / (n + 1)))
    needed = calibration.images_needed(smaller)
    lines.append(
        f"The smallest p-value is 1/{n + 1:,} = {1 / (n + 1):.3g}; {smaller:g} takes {needed:,} images."
    )
    return "\n".join(lines)


def rate_text(alpha: float, num_calibration: int) -> str:
    """How many own images are called out of distribution at a level, and how sure that is, in a sentence."""
    if not calibration.attainable(alpha, num_calibration):
        return calibration.unattainable(alpha, num_calibration)
    found = false_alarms(alpha, num_calibration)
    return (
        f"Of the model's own kind {found.expected:.2%} are called so at {alpha:g}; "
        f"given {num_calibration:,} calibration images, {found.low:.2%} to "
        f"{found.high:.2%} for {COVERAGE:.0%} of such sets."
    )


def foreign_needed(fdr: float, num_images: int, num_calibration: int) -> int:
    """How many of m images must be stranger than all n calibration images before `select` finds any.

    The smallest p-value is 1 / (n + 1), so j images that have it have q = m / ((n + 1) j): j is the
    smallest number with q <= fdr. Where it is above m, nothing can ever be selected. (More images may be
    selected then whose p-values are larger; an estimate of the share of own images makes q-values smaller.)

    Args:
      fdr: In (0, 1).
      num_images: m, at least 1.
      num_calibration: n, at least 1.

    Raises:
      DetectorError: If a value makes no sense.
    """
    check_fdr(fdr)
    _check_number(num_images, "num_images")
    _check_number(num_calibration, "num_calibration")
    j = math.ceil(num_images / ((num_calibration + 1) * fdr))
    fewer = j > 1 and np.float32(num_images / ((num_calibration + 1) * (j - 1))) <= np.float32(fdr)
    return j - 1 if fewer else j


def calibration_needed(fdr: float, num_images: int, foreign: int = 1) -> int:
    """The fewest calibration images with which `foreign` very strange images of `num_images` are found.

    That is, `foreign_needed(fdr, num_images, n) <= foreign`: n + 1 >= m / (fdr foreign).

    Raises:
      DetectorError: If a value makes no sense.
    """
    check_fdr(fdr)
    _check_number(num_images, "num_images")
    if not 1 <= foreign <= num_images:
        raise DetectorError(f"`foreign` must be in 1, ..., {num_images}, got {foreign}.")
    n = max(1, math.ceil(num_images / (fdr * foreign)) - 2)
    while foreign_needed(fdr, num_images, n) > foreign:
        n += 1
    return n


def unselectable(fdr: float, num_images: int, num_calibration: int) -> str:
    """What it takes before one of `num_images` is selected, in one line; "" where a single one can be."""
    j = foreign_needed(fdr, num_images, num_calibration)
    if j <= 1:
        return ""
    single = calibration_needed(fdr, num_images)
    given = f"with {num_calibration:,} calibration images and {num_images:,} scored"
    if j > num_images:
        return f"{given} none can have a q-value of {fdr:g} or less; for a single one it takes {single:,}."
    return (
        f"{given}, nothing has a q-value of {fdr:g} or less unless {j:,} or more are stranger than every "
        f"calibration image; for a single one it takes {single:,}."
    )


def need_fdr(fdr: float, num_calibration: int) -> None:
    """Refuses a rate at which no image can ever be selected, before anything is scored.

    A q-value is at least the p-value, 1 / (n + 1).

    Raises:
      DetectorError: If it is so, or `fdr` is not in (0, 1).
    """
    check_fdr(fdr)
    if not calibration.attainable(fdr, num_calibration):
        raise DetectorError(
            f"`fdr`: {num_calibration} calibration images cannot give a q-value of {fdr:g} or less, so "
            f"nothing will be called out of distribution; give at least {calibration.images_needed(fdr)}, "
            f"or take a higher rate, or `allow_unattainable`."
        )


def _check_number(value: int, name: str) -> None:
    if value < 1:
        raise DetectorError(f"`{name}` must be 1 or more, got {value}.")
