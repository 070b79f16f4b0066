"""The area under the ROC curve, P[s' > s] + P[s' = s] / 2."""

import numpy as np


def places(scores: np.ndarray) -> np.ndarray:
    """The place of each score among the different ones, integers `[N]`; NaN are equal, and the largest."""
    return np.unique(scores, return_inverse=True)[1]


def area(at: np.ndarray, weights: np.ndarray, count: int) -> float:
    """The area from places `[N]` and how often each image counts, the first `count` of them own ones."""
    most = at.max() + 1
    own = np.bincount(at[:count], weights[:count], most)
    foreign = np.bincount(at[count:], weights[count:], most)
    below = np.cumsum(own) - own
    return float(foreign @ (below + own / 2) / (own.sum() * foreign.sum()))


def area_under(own: np.ndarray, foreign: np.ndarray) -> float:
    """P[s' > s] + P[s' = s] / 2 for s of `own` `[N]`, s' of `foreign` `[M]`, neither of them empty."""
    scores = np.concatenate([own, foreign])
    return area(places(scores), np.ones(len(scores)), len(own))
