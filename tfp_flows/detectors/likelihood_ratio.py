"""The likelihood ratio against a model of the background."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfp_flows.detectors import models
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.distributions.protocols import DensityModel


class LikelihoodRatio(Detector):
    """score(x) = log p_background(x) - log p(x), in nats.

    The background model has the architecture of the model and was trained on images mutated anew at every
    step (`--mutation_rate` of training); what both explain cancels. Ren et al. choose the mutation rate with
    images of a third data set. Here `fit` chooses among the backgrounds without any: the one that
    maximises

        mean_i r(x_i) / std_i r(x_i),       r = log p - log p_background

    over in-distribution images, i.e. sets them furthest from r = 0, where an image is all background, in
    units of their spread.

    Published AUROC: FashionMNIST/MNIST 0.994, CIFAR-10/SVHN 0.931 (authors, PixelCNN); 0.064 on Glow, C/S
    (re-run).

    `score_map` is the difference of the shares of each pixel in log p; it sums to the score.

    #### References

    [1]: Jie Ren et al. Likelihood ratios for out-of-distribution detection. NeurIPS 2019.
         https://arxiv.org/abs/1906.02845
    """

    name = "likelihood_ratio"
    may_be_infinite = ("distance",)  # of a background that always agrees with the model
    exportable = True

    def __init__(self, model: DensityModel, backgrounds: Sequence[DensityModel], batch_size: int = 256):
        """Takes the model and the list of background models, of one mutation rate each.

        Raises:
          DetectorError: If there is no background.
        """
        if not backgrounds:
            raise DetectorError(f"{self.name}: needs at least one background model.")
        super().__init__([model, *backgrounds], batch_size=batch_size)

    @classmethod
    def of_models(cls, density_models: Sequence[DensityModel], settings: Mapping) -> Detector:
        """The detector of a model and the backgrounds after it."""
        if len(density_models) < 2:
            raise DetectorError(f"{cls.name}: needs at least one background model.")
        return cls(density_models[0], density_models[1:], **settings)

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        return tf.stack([models.log_prob(model, images) for model in self.models], axis=-1)

    def _fit_statistics(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        ratios = statistics[:, :1] - statistics[:, 1:]
        if len(ratios) < 2:
            raise DetectorError(f"{self.name}: fit needs at least two images, got {len(ratios)}.")
        spread = ratios.std(axis=0)
        distance = np.divide(
            ratios.mean(axis=0), spread, out=np.full(len(spread), -np.inf), where=spread > 0
        )
        return {"chosen": np.int64(np.argmax(distance)), "distance": distance}

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.gather(statistics, 1 + fitted["chosen"], axis=1) - statistics[:, 0]

    def _no_map(self) -> str | None:
        return models.why_no_shares(self.models)

    def _graph_shares(self, images: tf.Tensor) -> tf.Tensor:
        return tf.stack([models.log_prob_map(model, images) for model in self.models], axis=-1)

    def _map_formula(self, shares: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.gather(shares, 1 + fitted["chosen"], axis=-1) - shares[..., 0]

    def _needed(self) -> tuple[str, ...]:
        return ("chosen",)
