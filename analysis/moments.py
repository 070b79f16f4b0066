"""Means and variances of data sets, in one pass: the quantities that the paper's argument turns on."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from analysis.errors import AnalysisError
from tfp_flows import data
from tfp_flows.numerics import quantization


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Mean and variance of every pixel and channel over a data set, in grey levels 0..255.

    Attributes:
      count: Number of images.
      mean: float64 `[H, W, C]`.
      variance: float64 `[H, W, C]`, of the population (divided by `count`), squared grey levels.
    """

    count: int
    mean: np.ndarray
    variance: np.ndarray

    @property
    def unit_mean(self) -> np.ndarray:
        """Mean of the dequantised images y = (x + u) / 256 in [0, 1): (mean + 1/2) / 256."""
        return (self.mean + 0.5) / quantization.NUM_LEVELS

    @property
    def unit_variance(self) -> np.ndarray:
        """Variance of y = (x + u) / 256, u uniform: (variance + 1/12) / 256^2."""
        return (self.variance + 1 / 12) / quantization.NUM_LEVELS**2

    @property
    def channel_mean(self) -> np.ndarray:
        """Mean over pixels of the mean, `[C]`, grey levels."""
        return self.mean.mean(axis=(0, 1))

    @property
    def channel_variance(self) -> np.ndarray:
        """Mean over pixels of the pixels' variances, `[C]`, squared grey levels."""
        return self.variance.mean(axis=(0, 1))


def moments(batches: Iterable[np.ndarray]) -> Moments:
    """Mean and variance in one pass over batches of images (Chan, Golub and LeVeque 1983).

        M <- M + B + (mean_B - mean)^2 n_B n / (n_B + n)        sums of squared deviations

    Args:
      batches: Iterable of `[B, H, W, C]` arrays, grey levels; any B.

    Returns:
      `Moments`, in float64.

    Raises:
      AnalysisError: If there are fewer than two images, or their shapes differ.
    """
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for values in batches:
        batch = np.asarray(values, np.float64)
        if count and batch.shape[1:] != mean.shape:
            raise AnalysisError(
                f"moments: all images must have one shape, got {mean.shape} and {batch.shape[1:]}."
            )
        batch_mean = batch.mean(axis=0)
        shift = batch_mean - mean
        total = count + len(batch)
        squares = squares + ((batch - batch_mean) ** 2).sum(axis=0)
        squares += shift**2 * (count * len(batch) / total)
        mean = mean + shift * (len(batch) / total)
        count = total
    if count < 2:
        raise AnalysisError(f"moments: a variance needs at least 2 images, got {count}.")
    return Moments(count, mean, squares / count)


def moments_of(images: np.ndarray | data.ImageSet, batch_size: int = 1024) -> Moments:
    """`moments` of an array uint8 `[N, H, W, C]` or a `data.ImageSet`, a batch at a time."""
    return moments(batch.numpy() for batch in data.evaluation_batches(images, batch_size))
