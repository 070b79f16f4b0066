"""How unusual a pixel's shares in log p are, higher or lower than usual: the map of two-sided scores.

    map_hw = sum_t log max q_t - log q_t(m_hwt)

q_t is the density of the share m_t (`distributions.protocols.SharedModel`) over all pixels of the images
given to `fit`, by Gaussian kernels. A pixel whose shares are as common as can be has 0. In nats.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfp_flows.detectors import models
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.hooks import Hooks

GRID = 1024
MARGIN = 6.0  # of the grid beyond the extremes, in bandwidths
FLOOR = 1e-12  # of a density, in units of the grid's step; further out the surprise grows by the distance
RANGE, TABLE = "map_range", "map_surprise"  # names of the fitted arrays
MOST_IMAGES = 512  # that a density is estimated from


def fitted(shares: np.ndarray) -> dict[str, np.ndarray]:
    """The densities, as arrays.

    Args:
      shares: `[N, H, W, T]`, of in-distribution images.

    Returns:
      `map_range` `[T, 3]`: the least and the largest share of each table, and the standard deviation;
      `map_surprise` `[T, G]`: log max q - log q between them, evenly spaced.
    """
    terms = [_of_term(shares[..., t].astype(np.float64), len(shares)) for t in range(shares.shape[-1])]
    return {RANGE: np.stack([r for r, _ in terms]), TABLE: np.stack([table for _, table in terms])}


def _of_term(values: np.ndarray, num_images: int) -> tuple[np.ndarray, np.ndarray]:
    values = np.ravel(values)
    scale = max(float(values.std()), 1e-6)
    bandwidth = scale * num_images ** (-1 / 5)  # Scott's, for as many independent values as there are images
    low, high = values.min() - MARGIN * bandwidth, values.max() + MARGIN * bandwidth
    counts, _ = np.histogram(values, GRID, (low, high))
    step = (high - low) / GRID
    bandwidth = max(bandwidth, 2 * step)
    offsets = np.arange(-GRID, GRID + 1) * step
    kernel = np.exp(-0.5 * (offsets / bandwidth) ** 2)
    density = np.convolve(counts / len(values), kernel / kernel.sum(), mode="full")[GRID:-GRID]
    surprise = -np.log(np.maximum(density, FLOOR))
    return np.array([low + step / 2, high - step / 2, scale]), surprise - surprise.min()


def check(arrays: Mapping[str, np.ndarray]) -> None:
    """Refuses arrays that `fitted` does not leave; they need not be there.

    Raises:
      DetectorError: With what is wrong.
    """
    if RANGE not in arrays and TABLE not in arrays:
        return
    if RANGE not in arrays or TABLE not in arrays:
        raise DetectorError(f"has one of {RANGE} and {TABLE} alone")
    ranges, tables = arrays[RANGE], arrays[TABLE]
    shapes = [(len(ranges), 3) if ranges.ndim else (), (len(ranges), GRID) if ranges.ndim else ()]
    if [ranges.shape, tables.shape] != shapes or not len(ranges):
        raise DetectorError(f"{RANGE} {list(ranges.shape)} and {TABLE} {list(tables.shape)} do not fit")
    if not ((ranges[:, 0] < ranges[:, 1]).all() and (ranges[:, 2] > 0).all()):
        raise DetectorError(f"{RANGE} holds no ranges")


def of_shares(shares: tf.Tensor, arrays: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The map `[B, H, W]` of shares `[B, H, W, T]`, by the arrays of `fitted`."""
    low, high, scale = (tf.cast(v, shares.dtype) for v in tf.unstack(arrays[RANGE], axis=-1))
    tables = tf.cast(arrays[TABLE], shares.dtype)
    inside = tf.clip_by_value(shares, low, high)
    place = (inside - low) / (high - low) * (GRID - 1)
    index = tf.clip_by_value(tf.cast(place, tf.int32), 0, GRID - 2)
    fraction = place - tf.cast(index, shares.dtype)
    total = tf.reduce_sum(abs(shares - inside) / scale, axis=-1)
    for t in range(shares.shape[-1]):
        before, after = (tf.gather(tables[t], index[..., t] + shift) for shift in (0, 1))
        total += before + fraction[..., t] * (after - before)
    return total


class MapOfSurprise(Hooks):
    """The map of a detector whose score is high on either side of what is usual: see `of_shares`."""

    def _no_map(self) -> str | None:
        return models.why_no_shares(self.models)

    def _map_formula(self, shares: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return of_shares(shares, fitted)

    def _fit_map(self, shares: np.ndarray) -> dict[str, np.ndarray]:
        return fitted(shares)

    def _map_needs(self) -> tuple[str, ...]:
        return RANGE, TABLE
