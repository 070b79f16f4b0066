"""Images from one source as one: are they, taken together, stranger than the calibration images?"""

import numpy as np
import numpy.typing as npt
import scipy  # whose modules are imported when they are used

from tfp_flows.detectors import calibration, false_discoveries
from tfp_flows.detectors.errors import DetectorError

_MOST = 20_000_000  # additions for an exact law: a tenth of a second


def group_p_value(p_values: npt.ArrayLike, num_calibration: int) -> float:
    """One p-value for m images, from their conformal p-values: Mann and Whitney's test, one-sided.

    With k_j - 1 = #{i : s_i >= s_j}, how many of the n calibration images are at least as strange as
    image j,

        T = sum_j (k_j - 1),        p = P(T0 <= T),

    T0 of m + n scores of which every order is equally likely: a small T says that the group is strange.

    *Guarantee.* P(p <= alpha) <= alpha for every alpha, any score, any n and m, if the group's images are
    exchangeable with the calibration images. The conformal p-values of a group depend on each other through
    the n calibration images: Fisher's and Stouffer's combinations for independent ones would raise false
    alarms; this law accounts for it. Where scores are equal, T counts every tie against an alarm: it is then
    at least the T of ties broken at random, so the bound still holds.

    The law is exact, by the Gaussian binomial coefficient's generating function
    prod_{i=1..m} (1 - q^(n + i)) / (1 - q^i), up to about m = 100 and n = 1,000; beyond, it is the normal
    limit with Mann and Whitney's variance and a correction for continuity: within 1 % of the law down to
    p = 0.001, and too large, which is safe, below.

    It sees a group that is stranger as a whole. A few very strange images in a large group are for
    `select`.

    Args:
      p_values: `[m]`, k_j / (n + 1); at least one.
      num_calibration: n.

    Raises:
      DetectorError: If there is none, or one is no k / (n + 1).

    #### References

    [1]: Henry Mann and Donald Whitney. On a test of whether one of two random variables is stochastically
         larger than the other. Annals of Mathematical Statistics, 1947.
    """
    found = false_discoveries.checked(p_values)
    if not found.size:
        raise DetectorError("`p_values`: a group has at least one image.")
    ranks = calibration.ranks_of_p_values(found, num_calibration)
    if not ranks.all():
        raise DetectorError(
            f"`p_values`: {found[ranks == 0][0]:g} is not k / {num_calibration + 1}, as {num_calibration} "
            f"calibration images give."
        )
    return rank_sum_tail(int((ranks - 1).sum()), found.size, num_calibration)


def rank_sum_tail(total: int, images: int, num_calibration: int) -> float:
    """P(T0 <= total): see `group_p_value`.

    Args:
      total: T, in 0, ..., m n.
      images: m.
      num_calibration: n.
    """
    most = images * num_calibration
    if 2 * total >= most:  # the law is symmetric, and the shorter end is summed
        return 1.0 if total >= most else 1.0 - rank_sum_tail(most - total - 1, images, num_calibration)
    if min(images, num_calibration) * (total + 1) > _MOST:
        variance = most * (images + num_calibration + 1) / 12
        return float(scipy.special.ndtr((total + 0.5 - most / 2) / variance**0.5))
    return float(_law(total, *sorted((images, num_calibration))).sum())


def _law(total: int, fewer: int, more: int) -> np.ndarray:
    """P(T0 = 0), ..., P(T0 = total)."""
    law = np.zeros(total + 1)
    law[0] = 1.0
    for i in range(1, fewer + 1):
        rows = -(-len(law) // i)
        padded = np.concatenate([law, np.zeros(rows * i - len(law))])
        law = padded.reshape(rows, i).cumsum(axis=0).ravel()[: total + 1]  # divided by 1 - q^i
        law[more + i :] -= law[: -(more + i)].copy()  # times 1 - q^(n + i)
        law *= i / (more + i)
    return law
