"""WAIC: an ensemble's disagreement corrects its likelihood."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfp_flows.detectors import models
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.distributions.protocols import DensityModel


class WAIC(Detector):
    """score(x) = Var_k[log p_k(x)] - E_k[log p_k(x)], over an ensemble of independently trained models.

    The Watanabe-Akaike information criterion, the negative of it in the sign of the paper: E - Var is a
    likelihood that counts less where models disagree. Both terms are in nats as the paper adds them,
    though a variance is in nats squared; the variance is that of the members (divided by K). The runs
    should be equal but for `--seed`.

    Published AUROC: FashionMNIST/MNIST 0.766, CIFAR-10/SVHN 1.000 (authors); re-runs 0.221 (five
    PixelCNNs, F/M), 0.143 (Glow, C/S) and 0.760 (model not named, C/S). The authors' and 0.221 are from
    memory.

    `score_map` is the same formula for the shares of each pixel in log p; it does not sum to the score,
    since a variance is not additive.

    #### References

    [1]: Hyunsun Choi, Eric Jang and Alexander Alemi. WAIC, but why? 2018.
         https://arxiv.org/abs/1810.01392
    """

    name = "waic"
    finite_statistics = False  # nothing is fitted to them
    exportable = True

    def __init__(self, members: Sequence[DensityModel], batch_size: int = 256):
        """Takes the list of models.

        Raises:
          DetectorError: If there are fewer than two, or one twice.
        """
        members = list(members)
        if len(members) < 2 or len({id(member) for member in members}) < len(members):
            raise DetectorError(f"{self.name}: needs at least two different models, got {len(members)}.")
        super().__init__(members, batch_size=batch_size)

    @classmethod
    def of_models(cls, density_models: Sequence[DensityModel], settings: Mapping) -> Detector:
        """The detector of this ensemble."""
        return cls(density_models, **settings)

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        return tf.stack([models.log_prob(member, images) for member in self.models], axis=-1)

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.math.reduce_variance(statistics, axis=-1) - tf.reduce_mean(statistics, axis=-1)

    def _no_map(self) -> str | None:
        return models.why_no_shares(self.models)

    def _graph_shares(self, images: tf.Tensor) -> tf.Tensor:
        return tf.stack([models.log_prob_map(model, images) for model in self.models], axis=-1)

    def _map_formula(self, shares: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return self._formula(shares, fitted)
