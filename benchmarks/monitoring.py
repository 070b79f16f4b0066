"""Measures the monitor: alarms without drift, and after how many images drift is found.

    python -m benchmarks.monitoring

The figures of docs/monitoring.md: a minute or two.
"""

import numpy as np

from tests.monitoring import streams

DRIFTS = {
    "0.5 higher": lambda scores, rng: scores + 0.5,
    "1 higher": lambda scores, rng: scores + 1,
    "3 higher": lambda scores, rng: scores + 3,
    "1 lower": lambda scores, rng: scores - 1,
    "10 % foreign": lambda scores, rng: np.where(rng.random(scores.shape) < 0.1, 10.0, scores),
    "30 % foreign": lambda scores, rng: np.where(rng.random(scores.shape) < 0.3, 10.0, scores),
    "all foreign": lambda scores, rng: np.full_like(scores, 10.0),
}
CALIBRATION = (50, 200, 1_000)


def main() -> None:
    """Prints both tables."""
    rng = np.random.default_rng(10)
    for n in CALIBRATION:
        p_values = streams.online(rng.normal(size=(2_000, n)), rng.normal(size=(2_000, 2_000)), rng)
        highest = streams.log_wealth(p_values).max(axis=1)
        rates = {level: (highest >= -np.log(level)).mean() for level in (0.05, 0.01)}
        print(f"n = {n}: false alarms by level {rates}", flush=True)
    for n in CALIBRATION:
        for start in (0, 500, 5_000):
            for name, drift in DRIFTS.items():
                delays = _delays(n, start, drift, rng)
                median, most = (np.quantile(delays, q, method="lower") for q in (0.5, 0.9))
                print(f"n = {n}, after {start}, {name}: {median:g} ({most:g})", flush=True)


def _delays(n, start, drift, rng, level=0.01, num_streams=200, length=1_000):
    scores = rng.normal(size=(num_streams, start + length))
    scores[:, start:] = drift(scores[:, start:], rng)
    p_values = streams.online(rng.normal(size=(num_streams, n)), scores, rng)
    high = streams.log_wealth(p_values)[:, start:] >= -np.log(level)
    return np.where(high.any(axis=1), high.argmax(axis=1) + 1, np.inf)


if __name__ == "__main__":
    main()
