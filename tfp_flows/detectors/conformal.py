"""From scores to p-values and decisions, by the scores of held-out images."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_flows.detectors import calibration
from tfp_flows.detectors.errors import DetectorError


class Conformal:
    """Split conformal prediction: see `calibration.p_value`.

    Attributes:
      scores: Of the held-out in-distribution images, float32 `[n]`, ascending; None before `calibrate`.
    """

    def __init__(self, owner: str):
        """Knows no scores yet.

        Args:
          owner: Whose scores they are, the first word of a message.
        """
        self.scores: np.ndarray | None = None
        self._owner = owner

    def calibrate(self, scores: npt.ArrayLike) -> None:
        """Keeps the scores `[n]` of held-out in-distribution images.

        Raises:
          DetectorError: If there is none.
        """
        self.scores = calibration.sorted_scores(scores)

    def p_values(self, scores: npt.ArrayLike) -> np.ndarray:
        """The p-value of each score `[N]`: float32 `[N]`; of one that is no number the smallest.

        Raises:
          DetectorError: If `calibrate` must come first.
        """
        values = np.asarray(scores, np.float32)
        strange = np.where(np.isnan(values), np.float32(np.inf), values)
        return calibration.p_value(tf.constant(strange), self.known_scores()).numpy()

    def predict(self, scores: npt.ArrayLike, alpha: float) -> np.ndarray:
        """Whether each score is called out of distribution: bool `[N]`, p <= alpha.

        Raises:
          DetectorError: If `calibrate` must come first, or `alpha` is no number in (0, 1).
        """
        p_values = self.p_values(scores)
        calibration.check_level(alpha, len(self.known_scores()))
        return p_values <= np.float32(alpha)

    def known_scores(self) -> np.ndarray:
        """The scores, if there are any.

        Raises:
          DetectorError: If `calibrate` must come first.
        """
        if self.scores is None:
            raise DetectorError(
                f"{self._owner}: call calibrate first, with held-out in-distribution images."
            )
        return self.scores
