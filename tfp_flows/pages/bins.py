"""Which numbers a histogram shows, and in how many bins."""

from collections.abc import Sequence

import numpy as np

FEWEST, MOST = 8, 100


def window(sets: Sequence[np.ndarray]) -> tuple[float, float]:
    """The range that shows the first set and all those near it: noise would squeeze the others.

    Args:
      sets: List of arrays of values; infinite ones do not count.

    Returns:
      (low, high).
    """
    sets = [finite for values in sets if len(finite := values[np.isfinite(values)])]
    if not sets:
        return 0.0, 1.0
    low, middle, high = np.quantile(sets[0], [0.01, 0.5, 0.99])
    reach = 4 * max(high - low, 0.02 * abs(middle), 1e-6)  # a constant volume has no width of its own
    near = [values for values in sets if abs(np.median(values) - middle) < reach]
    low = min(np.quantile(values, 0.001) for values in near)
    high = max(np.quantile(values, 0.999) for values in near)
    margin = 0.03 * max(high - low, 0.1 * abs(middle), 1e-6)
    return low - margin, high + margin


def edges(sets: Sequence[np.ndarray], low: float, high: float) -> np.ndarray:
    """Edges of bins that suit all sets of one picture: as many as their images can fill.

    The width is the geometric mean, over the sets, of Freedman and Diaconis' 2 IQR n^(-1/3), but no more
    than half of the narrowest set's IQR; there are 8 to 100 bins.

    Args:
      sets: List of arrays of values; those that vary too little to have a histogram do not count.
      low: The first edge.
      high: The last one.

    Returns:
      `[bins + 1]`.
    """
    widths, spreads = [], []
    for values in sets:
        inside = values[(low <= values) & (values <= high)]
        spread = np.subtract(*np.quantile(inside, [0.75, 0.25])) if len(inside) else 0.0
        if spread > (high - low) / MOST:
            widths.append(2 * spread * len(values) ** (-1 / 3))
            spreads.append(spread)
    if not widths:
        return np.linspace(low, high, MOST // 2 + 1)
    width = min(np.exp(np.log(widths).mean()), min(spreads) / 2)
    return np.linspace(low, high, int(np.clip(np.ceil((high - low) / width), FEWEST, MOST)) + 1)


def beyond(values: np.ndarray, bins: np.ndarray) -> int:
    """1 where most of a set lies right of the bins, -1 where left, else 0."""
    middle = np.median(values)
    return int(middle > bins[-1]) - int(middle < bins[0])
