"""The second-order term that explains the failure, as a score."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_flows.detectors import models
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.distributions.protocols import FlowModel
from tfp_flows.numerics import hessian, quantization


class SecondOrder(Detector):
    """score(x) = |1/2 Tr(H (D_x - Sigma))|,    D_x = diag((y - y0)^2), in nats.

    The trace term by which Nalisnick et al. (2019, section 5) explain that one data set is likelier than
    another, with the variance of a data set replaced by that of the single image: H is the Hessian of log p
    at y0 = E[y], the mean of in-distribution images, and Sigma their diagonal covariance. Images of less
    contrast, and of more, than the data's both count as foreign. It uses no likelihood of x at all: what
    it is worth says how much of the failure, and of its cure, is contrast.

    `score_map` sums to the score.

    #### References

    [1]: Eric Nalisnick et al. Do deep generative models know what they don't know? ICLR 2019.
         https://arxiv.org/abs/1810.09136 (equation 5); the score is ours
    """

    name = "second_order"
    finite_statistics = False  # nothing is fitted to them
    log_prob_first = False
    prepares = True

    def __init__(self, model: FlowModel, batch_size: int = 256):
        """Takes a flow over dequantised images, or over vectors.

        Raises:
          DetectorError: If the model is no flow.
        """
        models.need_any_flow(model, self.name)
        super().__init__([model], batch_size=batch_size)

    def _prepare(self, images: np.ndarray) -> None:
        if len(images) < 2:
            raise DetectorError(f"{self.name}: fit needs at least two images, got {len(images)}.")
        flow, _ = models.flow_and_input(self.models[0], tf.constant(images[:1]), self.name)
        mean = _continuous(images.mean(axis=0, dtype=np.float64), images.dtype)
        variance = images.var(axis=0, dtype=np.float64) * _unit(images.dtype) ** 2
        point = tf.constant(mean[np.newaxis], flow.dtype)
        diagonal = hessian.hessian_diagonal(flow.log_prob, point)[0].numpy().astype(np.float64)
        self.fitted.update(mean=mean, variance=variance, diagonal=diagonal)

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(self._terms(images), axis=list(range(1, images.shape.rank)))[:, tf.newaxis]

    def _terms(self, images: tf.Tensor) -> tf.Tensor:
        y = _continuous(tf.cast(images, tf.float64), images.dtype.as_numpy_dtype)
        excess = (y - self.fitted["mean"]) ** 2 - self.fitted["variance"]
        return 0.5 * self.fitted["diagonal"] * excess

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.abs(statistics[:, 0])

    def _no_map(self) -> str | None:
        return None

    def _graph_shares(self, images: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(self._terms(images), axis=-1, keepdims=True)

    def _map_formula(self, shares: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return shares[..., 0] * tf.sign(tf.reduce_sum(shares[..., 0], axis=[1, 2], keepdims=True))

    def _needed(self) -> tuple[str, ...]:
        return ("diagonal",)

    def _check_prepared(self) -> None:
        self.formula.check_fitted()


def _unit(dtype: npt.DTypeLike) -> float:
    """What one grey level is in the flow's units; vectors are in these already."""
    return 1.0 / quantization.NUM_LEVELS if dtype == np.uint8 else 1.0


def _continuous(values: Any, dtype: npt.DTypeLike) -> Any:
    """The middle of grey levels, or vectors as they are, in the flow's units."""
    return (values + 0.5) * _unit(dtype) if dtype == np.uint8 else values
