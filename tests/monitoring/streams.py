"""Streams of scores, with and without drift; tables of them."""

import csv

import numpy as np

from tfp_flows import monitoring
from tfp_flows.monitoring.martingale import SHARES

COLUMNS = ("key", "log_prob", "bits_per_dim", "score", "p_value", "verdict")


def log_wealth(p_values):
    """ln M of many streams side by side, `[streams, m]`, by the module's own step."""
    pays = monitoring.payoffs(p_values)
    weights, logs = np.tile(SHARES, (len(p_values), 1)), []
    for t in range(p_values.shape[1]):
        weights, factor = monitoring.bet(weights, pays[:, t], t + 1)
        logs.append(np.log(factor))
    return np.cumsum(logs, axis=0).T


def online(calibration, scores, rng):
    """Urn's p-values of streams `[streams, m]`, each with calibration scores of its own `[streams, n]`."""
    n = calibration.shape[1]
    found = []
    for own, stream in zip(calibration, scores, strict=True):
        ranks = monitoring.Calibrated(own).ranks(stream.astype(np.float32), rng.random(len(stream)), 0)
        found.append(monitoring.Urn(n).draw(ranks, rng.random(len(stream))))
    return np.stack(found)


def split_p_values(calibration, scores):
    """As in a table: float32."""
    n = len(calibration)
    below = np.searchsorted(np.sort(calibration), scores, "left")
    return np.float32(1 + n - below) / np.float32(n + 1)


def write_table(path, keys, scores, p_values, extra=None):
    """A table as tfp_flows.score writes it; `extra` is (name, texts) of a further column."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *([extra[0]] if extra else [])])
        for i, key in enumerate(keys):
            numbers = [np.format_float_positional(np.float32(x)) for x in (scores[i], p_values[i])]
            writer.writerow([key, "-1.0", "2.0", *numbers, "in", *([extra[1][i]] if extra else [])])
    return path
