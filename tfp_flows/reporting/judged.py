"""Sets of images as a run's detector judges them."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfp_flows import data
from tfp_flows.detectors import Detector, calibration


@dataclasses.dataclass(frozen=True)
class Judged:
    """One set, and what a detector says of its images.

    Attributes:
      label: What the set is called.
      images: The set.
      scores: float32 `[N]`, higher = stranger.
      p_values: float32 `[N]`.
      alpha: Images with p <= alpha are called foreign.
    """

    label: str
    images: data.ImageSet
    scores: np.ndarray
    p_values: np.ndarray
    alpha: float

    @property
    def foreign(self) -> np.ndarray:
        """Whether each image is called foreign: bool `[N]`."""
        return self.p_values <= np.float32(self.alpha)

    def strangest(self, count: int) -> np.ndarray:
        """The indices of the `count` images of highest scores, the strangest first."""
        return np.argsort(-self.scores, kind="stable")[:count]

    def most_normal(self, count: int) -> np.ndarray:
        """The indices of the `count` images of lowest scores, the most normal first."""
        return np.argsort(self.scores, kind="stable")[:count]


def judge(
    detector: Detector,
    sets: Sequence[data.ImageSet],
    alpha: float,
    progress: bool = False,
    labels: Sequence[str] | None = None,
) -> list[Judged]:
    """Scores sets with a calibrated detector.

    Args:
      detector: Fitted and calibrated.
      sets: All of the detector's image shape.
      alpha: In (0, 1).
      progress: Whether to show progress bars.
      labels: What the sets are called; None for what `data.Labels` calls them.

    Raises:
      DetectorError: If `alpha` is no level, or the images do not fit.
    """
    calibration.rank(alpha, 1)  # a level that is none is refused
    if labels is None:
        labels = list(map(data.Labels([image_set.name for image_set in sets]), [s.name for s in sets]))
    found = []
    for name, image_set in zip(labels, sets, strict=True):
        scores = detector.score(image_set.images, name if progress else None)
        found.append(Judged(name, image_set, scores, detector.p_value_of_scores(scores), alpha))
    return found
