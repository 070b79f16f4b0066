"""A histogram of p-values, with what to expect of each bin for so few calibration images."""

from typing import NamedTuple

import numpy as np

from tfp_flows.monitoring.two_samples import expected_range

_BINS = 20


class Bin(NamedTuple):
    """The p-values in (low, high], which are `places` of the n + 1 that there are.

    Attributes:
      low: Of the bin.
      high: Of the bin.
      images: How many.
      density: Share of the images, by the bin's width: 1 where p-values are uniform.
      expected_low: Of the range that holds the density with a probability of 95 %.
      expected_high: Likewise.
    """

    low: float
    high: float
    images: int
    density: float
    expected_low: float
    expected_high: float


def histogram(counts: np.ndarray, bins: int = _BINS) -> list[Bin]:
    """The histogram of the p-values k / (n + 1); no bin ends between two of them.

    Args:
      counts: How many images have each rank k = 1, ..., n + 1: `[n + 1]`.
      bins: How many, at most.
    """
    places, images = len(counts), int(counts.sum())
    edges = np.unique(np.round(np.linspace(0, places, min(bins, places) + 1)).astype(int)).tolist()
    return [_bin(counts, start, end, images) for start, end in zip(edges[:-1], edges[1:], strict=True)]


def _bin(counts: np.ndarray, start: int, end: int, images: int) -> Bin:
    places = len(counts)
    width = (end - start) / places
    found = int(counts[start:end].sum())
    low, high = expected_range(images, end - start, places - 1)
    return Bin(
        start / places, end / places, found, found / max(images, 1) / width, low / width, high / width
    )
