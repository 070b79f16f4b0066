"""Measures alarms over many images: own images among those called out, and foreign ones that are found.

    python -m benchmarks.false_discoveries

The tables of docs/many_images.md, by simulation: scores of own images are normal, those of foreign ones are
higher. A minute.
"""

import numpy as np

from tests.detectors import tables
from tfp_flows import detectors
from tfp_flows.detectors import coverage

TABLES = 1_000
FDR = 0.1
CASES = (  # calibration images, images, share that is foreign, standard deviations that those are higher
    (500, 1_000, 0.01, 4),
    (500, 1_000, 0.1, 4),
    (5_000, 1_000, 0.01, 4),
    (5_000, 1_000, 0.1, 4),
    (5_000, 1_000, 0.1, 3),
    (5_000, 1_000, 0.5, 3),
    (5_000, 1_000, 0.0, 0),
)
GROUPS = ((20, 0.5), (20, 1.0), (100, 0.25), (100, 0.5))  # images in a folder, how much higher all are
STREAMS = ((5_000, None), (20_000, None), (20_000, 1_000))  # calibration images, horizon
HEAD = {
    "tables": ("n", "m", "foreign", "higher by", "p <= 0.05", "p <= 0.01", "q <= 0.1", "with Storey"),
    "streams": ("n", "horizon", "own among called", "found"),
    "needed": ("images in the table", "n for one", "n for 1 % of them", "n for 10 %"),
    "groups": ("images in the folder", "higher by", "folders with p <= 0.01", "its images with q <= 0.1"),
}


def main() -> None:
    """Prints the tables in Markdown."""
    _head("tables")
    for n, m, share, shift in CASES:
        p, foreign = tables.tables(n, m, share, shift, num_tables=TABLES)
        ways = [p <= np.float32(0.05), p <= np.float32(0.01), _selected(p, n), _selected(p, n, storey=True)]
        _row(f"{n:,}", f"{m:,}", f"{share:.0%}", shift, *(_cell(way, foreign) for way in ways))
    _head("needed")
    for m in (100, 1_000, 10_000, 100_000):
        needed = [coverage.calibration_needed(FDR, m, count) for count in (1, m // 100, m // 10)]
        _row(f"{m:,}", *(f"{n:,}" for n in needed))
    _head("streams")
    for n, horizon in STREAMS:
        p, foreign = tables.tables(n, 1_000, 0.1, 4, num_tables=300)
        called = tables.lond(p, FDR, horizon)
        _row(f"{n:,}", horizon, *_cell(called, foreign).split(", "))
    _head("groups")
    for m, shift in GROUPS:
        p, _ = tables.tables(1_000, m, 1.0, shift, num_tables=300)
        found = np.mean([detectors.group_p_value(row, 1_000) <= 0.01 for row in p])
        _row(m, shift, f"{found:.0%}", f"{_selected(p, 1_000).mean():.1%}")


def _head(name):
    print()
    _row(*HEAD[name])
    _row(*["---"] * len(HEAD[name]))


def _row(*cells):
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def _selected(p, n, **settings):
    return np.stack([detectors.select(row, FDR, num_calibration=n, **settings).selected for row in p])


def _cell(selected, foreign):
    """False ones among those called out, on average over tables; foreign ones that are found."""
    false = tables.proportions(selected, foreign).mean()
    return f"{false:.1%}" + (f", {selected[foreign].mean():.0%}" if foreign.any() else "")


if __name__ == "__main__":
    main()
