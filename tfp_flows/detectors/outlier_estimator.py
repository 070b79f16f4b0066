"""Detectors with the habits of scikit-learn: `fit`, `decision_function`, `predict` in {-1, 1}."""

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tfp_flows.detectors import calibration
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError


class OutlierEstimator(OutlierMixin, BaseEstimator):
    """What a fitted and calibrated detector says, in scikit-learn's words.

        score_samples(x)     = -score(x)
        decision_function(x) = score_samples(x) - offset_          negative: an outlier
        predict(x)           = -1 where p(x) <= alpha_, else 1     p as in `calibration.p_value`

    The two agree: -offset_ is the score above which, and only above which, p <= alpha_. Scores have the
    detector's unit, which for `Default` is nats (log of a tail fraction), for `Likelihood` nats of log p.

    Rows are vectors `[N, D]` of numbers, or images uint8 `[N, H, W, C]`, as the detector takes them.

    Attributes:
      alpha: The level, a parameter.
      detector_: The fitted `Detector`: higher scores are stranger (the sign that pyod has).
      alpha_: The level in force: `alpha`, or 1 / (n + 1) where n calibration rows attain no smaller one.
      offset_: Of `decision_function`.
      n_features_in_: D, of vectors.
    """

    alpha: float
    detector_: Detector
    alpha_: float
    offset_: float

    def score_samples(self, X: npt.ArrayLike) -> np.ndarray:
        """The negative score of each row, float64 `[N]`: lower is stranger.

        Raises:
          NotFittedError: If `fit` must come first.
          ValueError: If these are no rows like those that were fitted.
        """
        check_is_fitted(self, "detector_")
        return -self.detector_.score(self._rows(X)).astype(np.float64)

    def decision_function(self, X: npt.ArrayLike) -> np.ndarray:
        """`score_samples(X) - offset_`, float64 `[N]`: negative for outliers, 0 at the threshold."""
        scores = self.score_samples(X)
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(scores - self.offset_, nan=0.0, posinf=np.inf, neginf=-np.inf)

    def predict(self, X: npt.ArrayLike) -> np.ndarray:
        """-1 for each row that is called an outlier, 1 for others: int64 `[N]`.

        Of rows like those that were fitted at most a fraction `alpha_` is, on average over calibration sets.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: npt.ArrayLike) -> np.ndarray:
        """The conformal p-value of each row, float32 `[N]`: see `calibration.p_value`."""
        check_is_fitted(self, "detector_")
        return self.detector_.p_value(self._rows(X))

    def _rows(self, X: Any, fit: bool = False, fewest: int = 1) -> np.ndarray:
        """Images as they are; vectors as finite floating numbers, their width and names kept by `fit`."""
        if getattr(X, "ndim", 2) == 4:
            return np.asarray(X)
        return _validated(self, X, reset=fit, dtype=[np.float64, np.float32], ensure_min_samples=fewest)

    def _set_threshold(self, detector: Detector) -> None:
        """Keeps a calibrated detector, and where it draws the line."""
        ascending = detector.conformal.known_scores()
        level = float(self.alpha)
        if not calibration.attainable(level, len(ascending)):
            level = 1 / (len(ascending) + 1)
            warnings.warn(
                f"{len(ascending)} rows to calibrate with cannot give a p-value of {self.alpha:g} or less: "
                f"the level is {level:.3g}. At least {calibration.images_needed(self.alpha)} are needed.",
                stacklevel=3,
            )
        self.detector_ = detector
        self.alpha_ = level
        self.offset_ = -calibration.threshold(level, ascending)


class DetectorEstimator(OutlierEstimator):
    """A detector of models that are trained already, as an estimator; made by `as_sklearn`."""

    def __init__(
        self,
        detector: Detector,
        alpha: float = 0.05,
        calibration_fraction: float = 0.5,
        random_state: Any = 0,
    ):
        """Keeps the parameters, as estimators do; see `as_sklearn`."""
        self.detector = detector
        self.alpha = alpha
        self.calibration_fraction = calibration_fraction
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Fits and calibrates a detector like `detector` with in-distribution rows; returns the estimator.

        Args:
          X: In-distribution rows that the models were not trained on. A random `calibration_fraction` of
            them calibrates, the rest is fitted to.
          y: Ignored.

        Raises:
          ValueError: If these are no such rows, or a parameter makes no sense.
        """
        check_level(self.alpha)
        rows = self._rows(X, fit=True, fewest=4)
        shares = [1 - self.calibration_fraction, self.calibration_fraction]
        fitted_to, held_out = divided(rows, shares, self.random_state)
        self._set_threshold(unfitted(self.detector).fit(fitted_to).calibrate(held_out))
        return self

    def __sklearn_clone__(self) -> "DetectorEstimator":
        """An unfitted one of the same models: `fit` changes nothing of `detector`, so it is not copied."""
        return type(self)(**self.get_params(deep=False))


def as_sklearn(
    detector: Detector, alpha: float = 0.05, calibration_fraction: float = 0.5, random_state: Any = 0
) -> DetectorEstimator:
    """A detector as an outlier detector of scikit-learn, for pipelines, grid searches and their metrics.

    ```python
    estimator = detectors.as_sklearn(detectors.Default(model), alpha=0.05).fit(held_out_images)
    estimator.predict(images)                       # 1: own, -1: foreign
    estimator.decision_function(images)             # negative: foreign
    ```

    `fit` leaves `detector` as it is, and fits another one of the same models, `detector_`. A detector that
    is fitted and calibrated already can be asked at once; `clone` gives an unfitted estimator.

    For vectors without a trained flow see `tfp_flows.FlowOutlierDetector`.

    Args:
      detector: Of trained models, of images `[H, W, C]` or vectors `[D]`.
      alpha: Of rows like those of `fit`, at most this fraction is called an outlier.
      calibration_fraction: Share of the rows of `fit` that calibrate and do nothing else.
      random_state: Of the division of the rows: an `int`, a `np.random.RandomState` or None.

    Raises:
      DetectorError: If `alpha` is no number in (0, 1).
    """
    check_level(alpha)
    estimator = DetectorEstimator(detector, alpha, calibration_fraction, random_state)
    if detector.calibration_scores is not None:
        estimator._set_threshold(detector)
        if detector.statistics.are_vectors:
            (estimator.n_features_in_,) = detector.statistics.known_image_shape()
    return estimator


def unfitted(detector: Detector) -> Detector:
    """A detector of the same models and settings that nothing was fitted to.

    Raises:
      DetectorError: If its models were stored as statistics alone.
    """
    if detector.needs_model:
        detector.statistics.need_models("fitted again")
    other = type(detector).of_models(detector.models, detector.settings)
    other.preparation, other.batch_size = detector.preparation, detector.batch_size
    return other


def check_level(alpha: float) -> None:
    """Raises `DetectorError` unless `alpha` is a number in (0, 1)."""
    calibration.attainable(alpha, 1)


def divided(rows: np.ndarray, shares: Sequence[float], random_state: Any) -> list[np.ndarray]:
    """Rows at random in groups of these shares of them, none of which has fewer than two or (the last) one.

    Args:
      rows: `[N, ...]`.
      shares: Positive, their sum 1; the first one gets what rounding leaves.
      random_state: As scikit-learn takes it.

    Raises:
      DetectorError: If a share is not positive, or a group would be too small.
    """
    if not all(share > 0 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise DetectorError(f"fit: the fractions of the rows must be positive and sum to 1, got {shares}.")
    sizes = [max(2, round(share * len(rows))) for share in shares[1:]]
    if len(rows) - sum(sizes) < 2:
        raise DetectorError(f"fit: {len(rows)} rows are too few to be divided by the fractions {shares}.")
    order = check_random_state(random_state).permutation(len(rows))
    ends = np.cumsum([len(rows) - sum(sizes), *sizes])[:-1]
    return [rows[np.sort(places)] for places in np.split(order, ends)]


def _validated(estimator: BaseEstimator, X: Any, **checks: Any) -> np.ndarray:
    """`X` as scikit-learn's own estimators check it; a method of them before version 1.6."""
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:
        return estimator._validate_data(X, **checks)
    return validate_data(estimator, X, **checks)
