"""The promise: without drift, an alarm ever with a probability of at most the level; with it, soon."""

import numpy as np
import pytest
from scipy import stats

from tests.monitoring import streams

STREAMS, LENGTH, LEVEL = 2_000, 2_000, 0.05


def _most_alarms():
    """The number that is exceeded with a probability of 1e-4 if the level is exactly kept."""
    return stats.binom.isf(1e-4, STREAMS, LEVEL)


def test_alarms_without_drift_are_rare_for_small_calibration_sets_and_long_streams():
    rng = np.random.default_rng(0)
    u = streams.online(rng.normal(size=(STREAMS, 50)), rng.normal(size=(STREAMS, LENGTH)), rng)
    alarms = (streams.log_wealth(u).max(axis=1) >= -np.log(LEVEL)).sum()
    assert 0 < alarms <= _most_alarms()


def test_without_the_urn_they_are_not():
    """The same bets on smoothed split p-values find out what the calibration set happened to be."""
    rng = np.random.default_rng(1)
    calibration, scores = rng.normal(size=(200, 50)), rng.normal(size=(200, LENGTH))
    split = np.stack([streams.split_p_values(*pair) for pair in zip(calibration, scores, strict=True)])
    smoothed = split - rng.random(split.shape) / 51
    alarms = (streams.log_wealth(smoothed).max(axis=1) >= -np.log(LEVEL)).mean()
    assert alarms > 4 * LEVEL


@pytest.mark.parametrize(
    ("drift", "most"),
    [
        (lambda scores, rng: scores + 1, 60),
        (lambda scores, rng: scores - 1, 60),
        (lambda scores, rng: scores + 3, 12),
        (lambda scores, rng: np.where(rng.random(scores.shape) < 0.3, 10.0, scores), 60),
    ],
    ids=["one standard deviation", "one, to the ordinary side", "three", "30 % foreign"],
)
def test_drift_is_found_soon(drift, most):
    """After 500 quiet images; the median of the images that it takes, printed."""
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(100, 900))
    scores[:, 500:] = drift(scores[:, 500:], rng)
    u = streams.online(rng.normal(size=(100, 200)), scores, rng)
    high = streams.log_wealth(u) >= -np.log(0.01)
    assert high[:, :500].any(axis=1).mean() < 0.05
    delays = np.where(high.any(axis=1), high.argmax(axis=1) - 499, np.inf)
    print(f"found after {np.median(delays):g} images (90 %: {np.quantile(delays, 0.9, method='lower'):g})")
    assert np.median(delays) <= most
