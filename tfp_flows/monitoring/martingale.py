"""A test martingale: wealth that grows only by luck while p-values are independent and uniform."""

import math
from typing import Any

import numpy as np

from tfp_flows.monitoring.bets import BETS, payoffs
from tfp_flows.monitoring.errors import MonitoringError

_PURSE = 0.5  # share of the wealth that is not at stake, at the start and wherever it is shared anew
SHARES = np.array([_PURSE, *[(1 - _PURSE) / (len(BETS) - 1)] * (len(BETS) - 1)])


def bet(weights: np.ndarray, pay: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """One bet, of one stream or of many beside each other.

    Args:
      weights: w_{t-1} / M_{t-1}: `[..., len(BETS)]`.
      pay: f(u_t): `[..., len(BETS)]`.
      step: t, from 1.

    Returns:
      (w_t / M_t, M_t / M_{t-1} `[...]`).
    """
    rate = 1 / (step + 1)
    weights = ((1 - rate) * weights + rate * SHARES) * pay
    total = weights.sum(axis=-1)
    return weights / total[..., np.newaxis], total


class Martingale:
    """Bets against p-values u_1, u_2, ... being independent and uniform.

        w_0 = q,    v = (1 - 1 / (t + 1)) w_{t-1} + q M_{t-1} / (t + 1),    w_t[j] = v[j] f_j(u_t)
        M_t = sum_j w_t[j]

    with the densities f_j of `bets.BETS`. A part of the wealth, ever smaller, is shared anew before each
    p-value, by q: half into the purse, f_0 = 1, the rest in equal parts. So what drifts after a long time is
    found nearly as fast as what drifts at once, and the wealth of quiet times falls no faster than about
    1 / sqrt(t).

    The integral of f_j is 1, hence E[M_t | u_1, ..., u_{t-1}] = sum_j v[j] = M_{t-1}: a martingale that
    begins with 1 and is never negative, for which Ville's inequality holds,

        P(M_t >= 1 / alpha for any t, ever) <= alpha.

    So 1 / max_t M_t is a p-value at any time, whoever looks when and how often [1, 2]. Sharing is the "fixed
    share" of [3], at the rate 1 / (t + 1); betting against conformal p-values is [1, 2, 4].

    Attributes:
      log_wealth: ln M_t.
      log_highest: ln max M_s, s <= t.
      log_lowest: ln min M_s, s <= t.
      lowest_at: The s of that minimum: drift began about there, if there is any.
      steps: t.

    #### References

    [1]: Vladimir Vovk, Ilia Nouretdinov and Alex Gammerman. Testing exchangeability on-line. ICML, 2003.
    [2]: Vladimir Vovk. Testing randomness online. Statistical Science, 2021.
         https://arxiv.org/abs/1906.09256
    [3]: Mark Herbster and Manfred Warmuth. Tracking the best expert. Machine Learning, 1998.
    [4]: Valentina Fedorova et al. Plug-in martingales for testing exchangeability on-line. ICML, 2012.
         https://arxiv.org/abs/1204.3251
    """

    def __init__(self) -> None:
        """Begins with a wealth of 1."""
        self.log_wealth = self.log_highest = self.log_lowest = 0.0
        self.steps = self.lowest_at = 0
        self._weights = SHARES

    def update(self, p_values: np.ndarray) -> np.ndarray:
        """Bets on p-values, one after the other.

        Args:
          p_values: Array `[m]`, in (0, 1).

        Returns:
          ln M after each: float64 `[m]`.
        """
        pays = payoffs(np.asarray(p_values, np.float64))
        logs = np.empty(len(pays))
        weights, log_wealth = self._weights, self.log_wealth
        for i, pay in enumerate(pays):
            weights, factor = bet(weights, pay, self.steps + i + 1)
            log_wealth += math.log(factor)
            logs[i] = log_wealth
        self._note_extremes(logs)
        self._weights, self.log_wealth = weights, float(log_wealth)
        self.steps += len(pays)
        return logs

    def _note_extremes(self, logs: np.ndarray) -> None:
        if not len(logs):
            return
        self.log_highest = max(self.log_highest, float(logs.max()))
        if logs.min() < self.log_lowest:
            self.log_lowest = float(logs.min())
            self.lowest_at = self.steps + int(logs.argmin()) + 1

    @property
    def level(self) -> float:
        """1 / max M_s, in [0, 1]: a p-value for "nothing has drifted", at any time."""
        return math.exp(-self.log_highest)

    @property
    def meaning(self) -> str:
        """What the bet that holds most of the wealth, but for the purse, pays for."""
        return BETS[1 + int(self._weights[1:].argmax())].meaning

    def to_json(self) -> dict[str, Any]:
        """What `from_json` goes on from, exactly."""
        names = ("log_wealth", "log_highest", "log_lowest", "lowest_at", "steps")
        return {name: getattr(self, name) for name in names} | {"weights": self._weights.tolist()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Martingale":
        """Goes on from `to_json`.

        Raises:
          MonitoringError: If the values are none of it.
        """
        found = cls()
        try:
            for name in ("log_wealth", "log_highest", "log_lowest"):
                setattr(found, name, float(values[name]))
            for name in ("lowest_at", "steps"):
                setattr(found, name, int(values[name]))
            found._weights = np.array(values["weights"], np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise MonitoringError(f"no martingale: {error}") from error
        if not math.isfinite(found.log_wealth + found.log_highest + found.log_lowest):
            raise MonitoringError("no martingale: its wealth is not finite")
        if found._weights.shape != SHARES.shape or not np.isclose(found._weights.sum(), 1):
            raise MonitoringError(f"no martingale: its weights are not {len(SHARES)} that sum to 1")
        return found
