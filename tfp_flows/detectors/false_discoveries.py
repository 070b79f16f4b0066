"""Which of many images to call out of distribution, so that few of those called are not."""

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tfp_flows.detectors import calibration
from tfp_flows.detectors.errors import DetectorError

LAMBDA = 0.5  # above it p-values tell how many images are own ones


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """The images of a table that are called out of distribution.

    Attributes:
      q_values: float32 `[m]`: the smallest `fdr` at which each image is selected.
      selected: bool `[m]`, q <= fdr.
      fdr: Expected share, at most, of own images among those selected.
      threshold: The largest p-value that is selected; 0 where none is.
      null_share: Estimate of the share of own images, by which q-values are made smaller; 1 without.
    """

    q_values: np.ndarray
    selected: np.ndarray
    fdr: float
    threshold: float
    null_share: float


class Distinct(NamedTuple):
    """The p-values that occur in a table, of which there are at most n + 1.

    Attributes:
      p_values: float32 `[r]`, ascending.
      q_values: float32 `[r]`, ascending.
      null_share: See `Selection`.
    """

    p_values: np.ndarray
    q_values: np.ndarray
    null_share: float

    def threshold(self, fdr: float) -> float:
        """The largest p-value whose q-value is at most `fdr`; 0 where there is none."""
        found = self.p_values[self.q_values <= np.float32(fdr)]
        return float(found[-1]) if len(found) else 0.0


def select(
    p_values: npt.ArrayLike,
    fdr: float = 0.1,
    *,
    storey: bool = False,
    storey_lambda: float = LAMBDA,
    num_calibration: int | None = None,
) -> Selection:
    """Selects images by their conformal p-values so that the false discovery rate is at most `fdr`.

    Benjamini and Hochberg: with #(p) = how many of the m p-values are at most p,

        q(p) = min over p' >= p of  p' m / #(p'),        selected: q <= fdr.

    *Guarantee.* E[own images among those selected / max(1, selected)] <= fdr x (share of own images), for
    any score and any n and m, if the own images among the m are exchangeable with the calibration images.
    All p-values are compared with the same n calibration images, and so depend on each other, but
    positively (PRDS), and that is enough [1]. It is an average over calibration sets and tables: a single
    table may hold more false ones. It needs the table to be chosen before looking at it: leaving out images
    afterwards because of their p-values voids it.

    *Storey's estimate* of the share of own images, (1 + #{p > lambda}) / (m (1 - lambda)) but at most 1,
    multiplies q [2]; only p <= lambda are selected. With conformal p-values the same bound holds, without
    the factor (share of own images) [1, 3]; more is found where many images are foreign. It varies more: use
    it where that share may be large, as plain q-values lose little where it is small.

    Args:
      p_values: `[m]`, in [0, 1]; in any order. Float32, as detectors give them, or float64.
      fdr: In (0, 1).
      storey: Whether to estimate the share of own images.
      storey_lambda: In (0, 1).
      num_calibration: n, if known: p-values are then k / (n + 1) exactly, and not as float32 rounds them,
        which matters where a q-value equals `fdr`.

    Returns:
      `Selection`, in the order of `p_values`; of nothing for nothing.

    Raises:
      DetectorError: If a p-value is NaN or none, or no k / (n + 1), or another argument makes no sense.

    #### References

    [1]: Stephen Bates et al. Testing for outliers with conformal p-values. Annals of Statistics, 2023.
         https://arxiv.org/abs/2104.08279
    [2]: John Storey, Jonathan Taylor and David Siegmund. Strong control, conservative point estimation and
         simultaneous conservative consistency of false discovery rates. JRSS B, 2004.
    [3]: Ariane Marandon et al. Adaptive novelty detection with false discovery rate guarantee. Annals of
         Statistics, 2024. https://arxiv.org/abs/2208.06685
    """
    check_fdr(fdr)
    found = checked(p_values)
    values, places, counts = np.unique(found, return_inverse=True, return_counts=True)
    distinct = of_counts(values, counts, storey, storey_lambda, num_calibration)
    q_values = distinct.q_values[places]
    return Selection(
        q_values, q_values <= np.float32(fdr), fdr, distinct.threshold(fdr), distinct.null_share
    )


def of_counts(
    p_values: np.ndarray,
    counts: np.ndarray,
    storey: bool = False,
    storey_lambda: float = LAMBDA,
    num_calibration: int | None = None,
) -> Distinct:
    """The q-values of a table of which only counts are kept, since a p-value has few values; see `select`.

    Args:
      p_values: Those that occur, `[r]`, ascending, each once.
      counts: How often each does, `[r]`.
      storey: As for `select`.
      storey_lambda: As for `select`.
      num_calibration: As for `select`.

    Raises:
      DetectorError: As `select`.
    """
    if not 0 < storey_lambda < 1:
        raise DetectorError(f"`storey_lambda` must be in (0, 1), got {storey_lambda}.")
    exact = np.asarray(p_values, np.float64)
    if num_calibration is not None:
        exact = calibration.ranks_of_p_values(exact, num_calibration) / (num_calibration + 1)
        if not exact.all():
            wrong = np.asarray(p_values)[exact == 0][0]
            raise DetectorError(
                f"`p_values`: {wrong:g} is not k / {num_calibration + 1}, as {num_calibration} calibration "
                f"images give."
            )
    total, share = counts.sum(), 1.0
    q_values = exact * (total / np.cumsum(counts))
    if storey and total:
        share = min(1.0, float((1 + counts[exact > storey_lambda].sum()) / (total * (1 - storey_lambda))))
        q_values = np.where(exact > storey_lambda, np.inf, share * q_values)
    q_values = np.minimum.accumulate(q_values[::-1])[::-1]
    return Distinct(np.asarray(p_values, np.float32), np.minimum(q_values, 1.0).astype(np.float32), share)


def checked(p_values: npt.ArrayLike) -> np.ndarray:
    """`p_values` as an array `[m]`.

    Raises:
      DetectorError: If there is anything among them that is no p-value.
    """
    found = np.asarray(p_values)
    if found.ndim != 1:
        raise DetectorError(f"`p_values` must have one axis, got shape {found.shape}.")
    if not found.size:
        return found.astype(np.float64)
    if found.dtype.kind not in "fiu":
        raise DetectorError(f"`p_values` must be numbers, got {found.dtype}.")
    bad = ~((found >= 0) & (found <= 1))
    if bad.any():
        first = int(np.argmax(bad))
        raise DetectorError(
            f"`p_values` must be in [0, 1]: {int(bad.sum()):,} of {found.size:,} are not, the first is "
            f"number {first}, {found[first]}."
        )
    return found


def check_fdr(fdr: float) -> None:
    """Refuses what is no false discovery rate.

    Raises:
      DetectorError: If it is not in (0, 1).
    """
    if not 0 < fdr < 1:
        raise DetectorError(f"`fdr` must be in (0, 1), got {fdr}.")
