"""Exactly uniform and independent p-values of a stream, from ranks among a fixed calibration set."""

import numpy as np

_TINY = 2.0**-53  # rounding gives neither 0 nor 1, where a bet would pay infinitely much
_CHUNK = 256  # ranks that are compared with each other at once


class Urn:
    """Online conformal p-values from split conformal ones.

    A split conformal p-value is K / (n + 1), with the rank K = 1 + #{i : s_i >= s} among n calibration
    scores. Given these n, the p-values of a stream are not uniform, and taken together not independent: the
    share below alpha is whatever it is for this calibration set (over calibration sets it is distributed as
    Beta(k, n + 1 - k), k = floor(alpha (n + 1)) [1]), and a test of uniformity finds that out after enough
    images, though nothing has drifted.

    *The remedy.* Let c_k be how many earlier images of the stream had rank k. If the calibration images and
    those of the stream are exchangeable and no two scores are equal, then

        P(K_{t+1} = k | K_1, ..., K_t) = (1 + c_k) / (n + 1 + t),        k = 1, ..., n + 1,

    an urn of Polya with one ball of each of n + 1 colours, and

        U_{t+1} = (sum_{j < K} (1 + c_j) + V (1 + c_K)) / (n + 1 + t),    K = K_{t+1}, V uniform in (0, 1),

    are independent and uniform in (0, 1), exactly, for every n and t.

    *Proof.* All (n + t + 1)! orders of the n + t + 1 scores are equally likely, so the newest is equally
    likely to fall into each of the n + t + 1 places between, below and above the others, whatever their
    order. Place number k of those between calibration scores is cut into 1 + c_k places by the c_k earlier
    images in it: this is the probability above, given the whole order of the others, hence also given
    K_1, ..., K_t alone. U is the randomised distribution function of K_{t+1} under that law at K_{t+1}, so
    it is uniform given K_1, ..., K_t and the earlier V, of which U_1, ..., U_t are functions: independent of
    these.

    U is what online conformal prediction, which takes each image into the calibration set after testing it,
    gives where only the order *within* a place is drawn at random; all it needs to keep is the n + 1 counts.

    Two equal scores, one in the calibration set, would make K too large; `Calibrated.ranks` breaks such ties
    at random, which restores the law. P-values alone do not say where ties are.

    Attributes:
      counts: c, int64 `[n + 1]`.

    #### References

    [1]: Vladimir Vovk. Conditional validity of inductive conformal predictors. Machine Learning, 2013.
         https://arxiv.org/abs/1209.2673
    [2]: Vladimir Vovk, Alex Gammerman and Glenn Shafer. Algorithmic learning in a random world. 2005.
    """

    def __init__(self, num_calibration: int) -> None:
        """An urn with one ball of each colour.

        Args:
          num_calibration: n.
        """
        self.counts = np.zeros(num_calibration + 1, np.int64)

    def draw(self, ranks: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """The p-values of the next images, each of which then counts as an earlier one.

        Args:
          ranks: K: integers `[m]` in 1, ..., n + 1.
          uniforms: V: floats `[m]` in [0, 1).

        Returns:
          U: float64 `[m]`, in (0, 1).
        """
        chunks = range(0, len(ranks), _CHUNK)
        found = [self._draw(ranks[i : i + _CHUNK], uniforms[i : i + _CHUNK]) for i in chunks]
        return np.concatenate([*found, np.empty(0)])

    def _draw(self, ranks: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        places = np.asarray(ranks) - 1
        balls = 1 + self.counts
        below = np.concatenate([[0], np.cumsum(balls)])[places]
        earlier = np.tri(len(places), k=-1, dtype=bool)  # [i, j]: whether j came before i
        below = below + (earlier & (places[None, :] < places[:, None])).sum(axis=1)
        same = balls[places] + (earlier & (places[None, :] == places[:, None])).sum(axis=1)
        total = balls.sum() + np.arange(len(places))
        np.add.at(self.counts, places, 1)
        return np.clip((below + uniforms * same) / total, _TINY, 1 - _TINY)
