"""The likelihood itself: the baseline that fails."""

import tensorflow as tf

from tfp_flows.detectors import models
from tfp_flows.detectors.detector import Detector
from tfp_flows.distributions.protocols import DensityModel


class Likelihood(Detector):
    """score(x) = -log p(x), in nats.

    The baseline (Bishop 1994) that Nalisnick et al. (2019) show to fail: published AUROC about 0.08 (Glow)
    and 0.09 (PixelCNN) for CIFAR-10 against SVHN, 0.09 (PixelCNN) for FashionMNIST against MNIST; see
    `analysis/published.py` for sources.

    `score_map` is minus the share of each pixel in log p (`protocols.MappedModel`); it sums to the score.

    #### References

    [1]: Christopher Bishop. Novelty detection and neural network validation. IEE Proceedings, 1994.
    [2]: Eric Nalisnick et al. Do deep generative models know what they don't know? ICLR 2019.
         https://arxiv.org/abs/1810.09136
    """

    name = "likelihood"
    statistics_name = "log_prob"
    finite_statistics = False  # nothing is fitted to them
    exportable = True

    def __init__(self, model: DensityModel, batch_size: int = 256):
        """Takes the density model."""
        super().__init__([model], batch_size=batch_size)

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return -statistics[:, 0]

    def _no_map(self) -> str | None:
        return models.why_no_shares(self.models)

    def _map_formula(self, shares: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return -tf.reduce_sum(shares, axis=-1)


class OutlierExposure(Likelihood):
    """score(x) = -log p(x) under a model that was trained with outliers beside its data.

    Training adds a margin ranking loss, which makes outliers less likely than the training images (see
    `tfp_flows.objective`, and the flag `--outlier_dataset` of training). The only score here that has seen
    other images: not the ones it is tested on, but it is no label-free score.

    Published, density version: AUROC 0.758 for CIFAR-10 against SVHN (PixelCNN++).

    #### References

    [1]: Dan Hendrycks, Mantas Mazeika and Thomas Dietterich. Deep anomaly detection with outlier exposure.
         ICLR 2019. https://arxiv.org/abs/1812.04606
    """

    name = "outlier_exposure"
