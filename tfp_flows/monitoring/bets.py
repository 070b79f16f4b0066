"""Bets against uniform p-values: densities on [0, 1], each good where p-values drift in one way."""

from typing import NamedTuple

import numpy as np
import scipy  # whose modules are imported when they are used


class Bet(NamedTuple):
    """The density of a beta distribution: u^(a - 1) (1 - u)^(b - 1) / B(a, b).

    It pays that factor on a p-value u. Its integral is 1, so that its expectation is 1 where u is uniform.

    Attributes:
      a: Small where small p-values pay.
      b: Small where large p-values pay.
      meaning: What it pays for, in words.
    """

    a: float
    b: float
    meaning: str


FOREIGN, ORDINARY = "images look more foreign", "images look more ordinary"
BETS = (
    Bet(1.0, 1.0, "nothing"),  # keeps what it has: the first is the purse
    Bet(0.25, 1.0, FOREIGN),  # a few very small p-values
    Bet(0.5, 1.0, FOREIGN),
    Bet(1.0, 2.0, FOREIGN),  # all of them somewhat smaller
    Bet(1.0, 0.5, ORDINARY),
    Bet(2.0, 1.0, ORDINARY),
    Bet(2.0, 2.0, "images differ less than they did"),
    Bet(0.5, 0.5, "more images are extreme, on either side"),
)
_A, _B = (np.array([getattr(bet, name) for bet in BETS]) for name in ("a", "b"))


def payoffs(p_values: np.ndarray) -> np.ndarray:
    """What each bet pays on each p-value.

    Args:
      p_values: Floating array `[...]`, in (0, 1).

    Returns:
      Array `[..., len(BETS)]`.
    """
    u = np.asarray(p_values, np.float64)[..., np.newaxis]
    return np.exp(
        scipy.special.xlogy(_A - 1, u) + scipy.special.xlog1py(_B - 1, -u) - scipy.special.betaln(_A, _B)
    )
