"""From statistics to scores: arithmetic with arrays that were fitted."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.hooks import Hooks


class Formula:
    """The score of statistics: `formula(statistics)` is float32 `[N]`, higher = more out of distribution.

    A score that is no number (the model overflowed) counts as infinite.

    Attributes:
      fitted: dict from string to array: what `fit` found.
      block_size: Rows of statistics at once.
    """

    def __init__(self, hooks: Hooks, block_size: int):
        """Fits nothing yet.

        Args:
          hooks: Whose `_formula`, `_fit_statistics` and `_needed` are meant.
          block_size: Rows of statistics at once; has no influence on the result.
        """
        self.fitted: dict[str, np.ndarray] = {}
        self._hooks = hooks
        self.block_size = block_size

    def fit(self, statistics: npt.ArrayLike) -> None:
        """Finds what the formula needs in the statistics `[N, S]` of in-distribution images.

        Raises:
          DetectorError: If they are too few, degenerate or not finite.
        """
        values = np.asarray(statistics, np.float64)
        if self._hooks.finite_statistics:
            self._refuse_infinite(values)
        self.fitted.update(self._hooks._fit_statistics(values))

    def _refuse_infinite(self, statistics: np.ndarray) -> None:
        """One NaN would make every mean NaN, every score infinite and every p-value 1."""
        bad = int(np.sum(~np.isfinite(statistics.reshape([len(statistics), -1])).all(axis=1)))
        if bad:
            raise DetectorError(
                f"{self._hooks.name}: a statistic of {bad:,} of the {len(statistics):,} images given to fit "
                f"is NaN or infinite."
            )

    def check_fitted(self) -> None:
        """Raises `DetectorError` where `fit` must come first."""
        if any(name not in self.fitted for name in self._hooks._needed()):
            raise DetectorError(f"{self._hooks.name}: call fit first, with in-distribution images.")

    def constants(self) -> dict[str, tf.Tensor]:
        """What was fitted, as formulas are given it."""
        unseen = self._hooks.unseen_by_formulas
        return {name: tf.constant(array) for name, array in self.fitted.items() if name not in unseen}

    def __call__(self, statistics: np.ndarray) -> np.ndarray:
        """The score of each row of statistics `[N, S]`: float32 `[N]`.

        Raises:
          DetectorError: If `fit` must come first.
        """
        self.check_fitted()
        if not len(statistics):
            return np.zeros([0], np.float32)
        # In blocks: a kernel density compares every image with all those given to `fit`.
        starts = range(0, len(statistics), self.block_size)
        blocks = [tf.constant(statistics[i : i + self.block_size], tf.float64) for i in starts]
        return np.concatenate([self.in_graph(block).numpy() for block in blocks])

    def in_graph(self, statistics: tf.Tensor) -> tf.Tensor:
        """The same inside a graph: float64 `[B, S]` -> float32 `[B]`."""
        score = self._hooks._formula(statistics, self.constants())
        score = tf.where(tf.math.is_nan(score), tf.constant(np.inf, score.dtype), score)
        return tf.cast(score, tf.float32)
