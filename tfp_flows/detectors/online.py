"""Images that come one by one, and must be judged at once: few of those called are own ones, at any time."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.false_discoveries import check_fdr

FORMAT = 1
_SHARE = 0.07720838  # makes the weights sum to 1


class OnlineFDR:
    """LOND: levels based on the number of discoveries [1].

    Image number t is called out of distribution where its p-value is at most

        alpha_t = fdr gamma_t (D + 1),    D = how many were called before,

    with weights gamma_t that sum to at most 1. What was said of an image is never taken back.

    *Guarantee.* At every t, E[own images called / max(1, called)] <= fdr, if p-values are independent or
    positively dependent (PRDS) [2]. Conformal p-values against one calibration set are positively dependent
    [3]. LORD and SAFFRON find more, but need independent p-values, which these are not. Proof: on
    {p_t <= alpha_t} at least D + 1 are called, so the left side is at most the sum over own images of
    fdr gamma_t E[1{p_t <= alpha_t} / alpha_t], where each expectation is at most 1, since alpha_t only
    shrinks where p-values grow.

    *What it takes.* A p-value is at least 1 / (n + 1): a level below that calls nothing. The weights

        gamma_t = 0.0772 ln(max(t, 2)) / (t exp(sqrt(ln t)))

    fall slowly, yet at t = 1,000 only 2e-6 (D + 1) is left at fdr = 0.05. Where images may wait, collect
    them (an hour, a day) and use `select`, which finds more with fewer calibration images; or begin anew
    every `horizon` images, with gamma_t = 1 / horizon: the guarantee then holds within each horizon, and the
    first image is called with n + 1 >= horizon / fdr calibration images.

        rule = OnlineFDR(fdr=0.1, horizon=1_000)
        for p in detector.p_value(images):
            if rule.test(p): ...                       # look at it
        json.dump(rule.to_json(), file)                # and OnlineFDR.from_json(json.load(file)) later

    Attributes:
      fdr: See above.
      horizon: How many images have equal weights, the later ones none; None: no end.
      tested: Images so far.
      called: D.

    #### References

    [1]: Adel Javanmard and Andrea Montanari. On online control of false discovery rate. 2015.
         https://arxiv.org/abs/1502.06197; the weights are those of Annals of Statistics, 2018.
    [2]: Tijana Zrnic, Aaditya Ramdas and Michael Jordan. Asynchronous online testing of multiple hypotheses.
         JMLR, 2021. https://arxiv.org/abs/1812.05068
    [3]: Stephen Bates et al. Testing for outliers with conformal p-values. Annals of Statistics, 2023.
         https://arxiv.org/abs/2104.08279
    """

    def __init__(self, fdr: float = 0.1, horizon: int | None = None) -> None:
        """Begins with no image.

        Args:
          fdr: In (0, 1).
          horizon: See the class.

        Raises:
          DetectorError: If a value makes no sense.
        """
        check_fdr(fdr)
        if horizon is not None and (type(horizon) is not int or horizon < 1):
            raise DetectorError(f"`horizon` must be a positive integer or None, got {horizon!r}.")
        self.fdr = float(fdr)
        self.horizon = horizon
        self.tested = self.called = 0

    @property
    def level(self) -> float:
        """The p-value at or below which the next image will be called out of distribution."""
        return self.fdr * weight(self.tested + 1, self.horizon) * (self.called + 1)

    def test(self, p_value: float) -> bool:
        """Takes the next image; whether it is called out of distribution.

        Args:
          p_value: In [0, 1]; compared as float32, as p-values are.

        Raises:
          DetectorError: If it is NaN or no p-value; nothing was counted then.
        """
        if not 0 <= p_value <= 1:
            raise DetectorError(f"`p_value` must be in [0, 1], got {p_value}.")
        found = bool(np.float32(p_value) <= np.float32(self.level)) and self.level > 0
        self.tested += 1
        self.called += found
        return found

    def to_json(self) -> dict[str, Any]:
        """What `from_json` goes on from."""
        names = ("fdr", "horizon", "tested", "called")
        return {"online_fdr_format": FORMAT} | {name: getattr(self, name) for name in names}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "OnlineFDR":
        """The rule as `to_json` described it.

        Raises:
          DetectorError: If the values are none of these.
        """
        try:
            if values["online_fdr_format"] != FORMAT:
                raise DetectorError(f"its format is {values['online_fdr_format']!r}, not {FORMAT}")
            found = cls(values["fdr"], values["horizon"])
            tested, called = values["tested"], values["called"]
            if not (type(tested) is int and type(called) is int and 0 <= called <= tested):
                raise DetectorError(f"{called!r} of {tested!r} images were called")
        except (KeyError, TypeError, DetectorError) as error:
            raise DetectorError(f"this is no state of OnlineFDR: {str(error).removesuffix('.')}.") from error
        found.tested, found.called = tested, called
        return found


def weight(number: int, horizon: int | None = None) -> float:
    """gamma of image number t, from 1: see `OnlineFDR`."""
    if horizon is not None:
        return 1 / horizon if number <= horizon else 0.0
    return _SHARE * math.log(max(number, 2)) / (number * math.exp(math.sqrt(math.log(number))))
