"""Tables of conformal p-values, some of foreign images, and how many are called out falsely."""

import numpy as np

from tfp_flows.detectors import online

TABLES = 2_000


def conformal(calibration, scores):
    """float32 p-values `[tables, m]` of scores, each table with its own calibration scores `[tables, n]`."""
    n = calibration.shape[1]
    pairs = zip(np.sort(calibration, axis=1), scores, strict=True)
    ranks = np.stack([1 + n - np.searchsorted(own, row, "left") for own, row in pairs])
    return ranks.astype(np.float32) / np.float32(n + 1)


def tables(n, m, share, shift, seed=0, decimals=None, num_tables=TABLES):
    """(p-values `[tables, m]`, whether foreign); decimals: scores are rounded, so that they repeat."""
    rng = np.random.default_rng(seed)
    foreign = rng.random((num_tables, m)) < share
    calibration, scores = rng.normal(size=(num_tables, n)), rng.normal(size=(num_tables, m))
    scores = scores + shift * foreign
    if decimals is not None:
        calibration, scores = np.round(calibration, decimals), np.round(scores, decimals)
    return conformal(calibration, scores), foreign


def proportions(selected, foreign):
    """The false discovery proportion of each table."""
    return (selected & ~foreign).sum(axis=1) / np.maximum(1, selected.sum(axis=1))


def lond(p, fdr, horizon=None):
    """The rule of `OnlineFDR` on many streams side by side, as its formula says."""
    called = np.zeros(p.shape, bool)
    count = np.zeros(len(p))
    for t in range(p.shape[1]):
        level = fdr * online.weight(t + 1, horizon) * (count + 1)
        called[:, t] = p[:, t] <= level.astype(np.float32)
        count += called[:, t]
    return called
