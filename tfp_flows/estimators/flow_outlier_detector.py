"""A flow over vectors and a detector of it, as one estimator of scikit-learn."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError
from tfp_flows.detectors import DETECTORS, Detector
from tfp_flows.detectors.names import OF_SEVERAL_MODELS
from tfp_flows.detectors.outlier_estimator import OutlierEstimator, check_level, divided
from tfp_flows.models.vectors import FAMILY, vector_flow
from tfp_flows.training.fit import fit

VALIDATE_EVERY = 25
PATIENCE = 4  # validations without a better one


class FlowOutlierDetector(OutlierEstimator):
    """Outliers among vectors `[N, D]`, D >= 2, by a normalizing flow that `fit` trains.

    `fit` divides its rows at random: on most of them a `tfp_flows.vector_flow` is trained by maximum
    likelihood, the second group says when to stop and is what the detector is fitted to, the third
    calibrates it and does nothing else, so that

        P(predict(x) = -1) <= alpha        for rows x like those of `fit`, whatever their distribution.

    It is a detector of novelties: `fit` wants own rows alone, of any scale, without constant columns. Whole
    numbers have no density: add noise to them, `x + rng.random(x.shape)`.

    ```python
    estimator = tfp_flows.FlowOutlierDetector(alpha=0.05).fit(own)      # [N, D]
    estimator.predict(rows)                                             # 1: own, -1: foreign
    estimator.score(rows)                                               # mean log p, nats a row
    ```

    It can be cloned, pickled and searched over; scikit-learn's own checks pass, on float64.

    Attributes:
      flow_: The trained `tfd.TransformedDistribution`, float64: `flow_.log_prob(x)` in nats, in the units
        of x, `flow_.sample(n, seed=0)`.
      n_iter_: Steps that were trained.
      detector_, alpha_, offset_, n_features_in_: See `detectors.as_sklearn`.
    """

    flow_: tfd.TransformedDistribution
    n_iter_: int

    def __init__(
        self,
        detector: str = "default",
        alpha: float = 0.05,
        *,
        num_steps: int = 4,
        hidden_units: int = 32,
        coupling: str = "affine",
        prior: str = "student_t",
        max_iter: int = 1000,
        learning_rate: float = 1e-3,
        batch_size: int = 128,
        validation_fraction: float = 0.25,
        calibration_fraction: float = 0.25,
        random_state: Any = 0,
    ):
        """Keeps the parameters, as estimators do: `fit` looks at them.

        Args:
          detector: Name of a detector in `detectors.DETECTORS` that takes one flow over vectors: "default",
            "likelihood", "typicality", "density_of_states", ...
          alpha: Of rows like those of `fit`, at most this fraction is called an outlier.
          num_steps: Of the flow; this one and the next three as `tfp_flows.vector_flow` has them.
          hidden_units: Width of the couplings' networks.
          coupling: "affine", "spline" or "mixture".
          prior: Of each latent coordinate: "student_t" has heavy tails, as most tables have; "normal".
          max_iter: Most steps of training; it stops earlier where held-out rows no longer gain. With 0 the
            flow stays where it begins: the normal distribution of the rows, its covariance shrunk.
          learning_rate: At its highest.
          batch_size: Rows in a step.
          validation_fraction: Share of the rows that choose the step, and that the detector is fitted to.
          calibration_fraction: Share of the rows that calibrate.
          random_state: Of the division, the weights and the order of training: an `int`, a
            `np.random.RandomState`, or None for another result each time.
        """
        self.detector = detector
        self.alpha = alpha
        self.num_steps = num_steps
        self.hidden_units = hidden_units
        self.coupling = coupling
        self.prior = prior
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.calibration_fraction = calibration_fraction
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Trains the flow, fits and calibrates the detector; returns the estimator.

        Args:
          X: Own rows `[N, D]`, finite, of at least two columns; some hundred of them or more.
          y: Ignored.

        Raises:
          ValueError: If these are no such rows, or a parameter makes no sense.
        """
        check_level(self.alpha)
        rows = self._rows(X, fit=True, fewest=8).astype(np.float64)
        if rows.ndim != 2 or rows.shape[1] < 2:
            raise UserError(f"fit: a flow needs at least two columns, got {rows.shape} (n_features = 1).")
        random = check_random_state(self.random_state)
        held_out = [self.validation_fraction, self.calibration_fraction]
        train, validation, held_out_rows = divided(rows, [1 - sum(held_out), *held_out], random)
        self._fitted_with = self.get_params()  # which `set_params` may change later
        self._flow_seed = int(random.randint(2**31 - 1))
        flow = self._new_flow(rows.shape[1])
        detector = self._new_detector(flow)
        self.n_iter_ = self._train(flow, train, validation, int(random.randint(2**31 - 1)))
        self.flow_ = flow
        self._set_threshold(detector.fit(validation).calibrate(held_out_rows))
        return self

    def score(self, X: npt.ArrayLike, y: object = None) -> float:
        """The mean log p of rows under the flow, nats a row, as `GaussianMixture.score` has it.

        By it a grid search without labels finds the flow that says most of held-out rows.
        """
        check_is_fitted(self, "detector_")
        return float(np.mean(self.flow_.log_prob(self._rows(X).astype(np.float64))))

    def _new_flow(self, size: int) -> tfd.TransformedDistribution:
        return vector_flow(
            size,
            num_steps=self.num_steps,
            hidden_units=self.hidden_units,
            coupling=self.coupling,
            prior=self.prior,
            seed=self._flow_seed,
            dtype="float64",
        )

    def _train(
        self, flow: tfd.TransformedDistribution, rows: np.ndarray, validation: np.ndarray, seed: int
    ) -> int:
        """Trains the flow; returns the steps that were taken."""
        if self.max_iter == 0:
            FAMILY.initialize(flow, rows)
            return 0
        history = fit(
            flow,
            rows,
            validation,
            steps=self.max_iter,
            learning_rate=self.learning_rate,
            batch_size=min(self.batch_size, len(rows)),
            seed=seed,
            optimizer="adam",
            ema_decay=0.9,
            validate_every=min(VALIDATE_EVERY, self.max_iter),
            early_stopping=PATIENCE,
            progress=False,
        )
        return history.step

    def _new_detector(self, flow: tfd.TransformedDistribution) -> Detector:
        if self.detector not in DETECTORS:
            raise UserError(f"`detector` must be one of {', '.join(DETECTORS)}, got {self.detector!r}.")
        kind = DETECTORS[self.detector]
        if self.detector in OF_SEVERAL_MODELS or not (kind.takes_vectors and kind.needs_model):
            raise UserError(f"`detector`: {self.detector} is not one of a single flow over vectors.")
        return kind.of_models([flow], {})

    def __getstate__(self) -> dict[str, Any]:
        """Arrays and numbers alone, for a pickle: no graph of TensorFlow's can be in one."""
        state = dict(super().__getstate__())
        if "flow_" in state:
            flow, detector = state.pop("flow_"), state.pop("detector_")
            state["_weights"] = [variable.numpy() for variable in flow.variables]
            state["_found"] = dict(detector.fitted), detector.calibration_scores
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Makes the flow and its detector again."""
        given = dict(state)
        weights, found = given.pop("_weights", None), given.pop("_found", None)
        super().__setstate__(given)
        if weights is None or found is None:
            return
        maker = type(self)(**self._fitted_with)
        maker._flow_seed = self._flow_seed
        self.flow_ = maker._new_flow(self.n_features_in_)
        for variable, value in zip(self.flow_.variables, weights, strict=True):
            variable.assign(tf.constant(value, variable.dtype))
        self.detector_ = maker._new_detector(self.flow_)
        self.detector_.fitted, self.detector_.calibration_scores = found
