"""Typicality: is the likelihood that of a typical sample, neither lower nor higher?"""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_flows.detectors import surprise
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.distributions.protocols import DensityModel

NUM_RESAMPLES = 10_000


class Typicality(surprise.MapOfSurprise, Detector):
    """score(x) = |-log p(x) - H|,     H = E[-log p] over in-distribution images, in nats.

    The typical set of a density is where -log p is near the entropy; in high dimensions samples lie there,
    and not where the density is highest. For M images that come from one source together, the test of the
    paper, see `group_scores` and `rejection_rate`.

    `score_map` says how unusual each pixel's share in log p is, likelier or less likely: see `surprise`.

    Published AUROC for one image: CIFAR-10/SVHN 0.870 (a re-run, Glow) and 0.714 (another, its model not
    named). The authors give rejection rates instead (M = 2: 0.14 FashionMNIST/MNIST, 0.42 CIFAR-10/SVHN,
    Glow), which are not AUROC.

    #### References

    [1]: Eric Nalisnick et al. Detecting out-of-distribution inputs to deep generative models using
         typicality. 2019. https://arxiv.org/abs/1906.02994
    """

    name = "typicality"
    statistics_name = "log_prob"
    exportable = True

    def __init__(self, model: DensityModel, batch_size: int = 256):
        """Takes the density model."""
        super().__init__([model], batch_size=batch_size)

    def _fit_statistics(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        return {"entropy": np.asarray(-statistics[:, 0].mean())}

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.abs(-statistics[:, 0] - fitted["entropy"])

    def _needed(self) -> tuple[str, ...]:
        return ("entropy",)


def group_scores(log_probs: npt.ArrayLike, entropy: float, group_size: int) -> np.ndarray:
    """|mean_m -log p(x_m) - H| of consecutive groups of M images.

    Args:
      log_probs: `[N]`, nats.
      entropy: H, as `Typicality.fitted["entropy"]`.
      group_size: M; images left over at the end are not used.

    Returns:
      float64 `[N // M]`.

    Raises:
      DetectorError: If there are fewer than M images.
    """
    values = np.asarray(log_probs, np.float64)
    count = len(values) // group_size
    if not count:
        raise DetectorError(f"typicality: {len(values)} images make no group of {group_size}.")
    groups = values[: count * group_size].reshape([count, group_size])
    return np.abs(-groups.mean(axis=1) - entropy)


def rejection_rate(
    log_probs: npt.ArrayLike,
    held_out_log_probs: npt.ArrayLike,
    entropy: float,
    group_size: int,
    alpha: float = 0.01,
    seed: int = 0,
) -> float:
    """The fraction of groups of M images that the paper's test rejects at level `alpha`.

    The threshold is the 1 - alpha quantile of the score of groups resampled, with replacement, from held-out
    in-distribution images (the paper's algorithm 1, alpha = 0.01). A rejection rate of in-distribution
    images should be near alpha; it is no AUROC, and not comparable to one.

    Args:
      log_probs: `[N]` of the images to test, nats.
      held_out_log_probs: `[n]` of in-distribution images.
      entropy: H.
      group_size: M.
      alpha: Level of the test.
      seed: Of the resampling.

    Returns:
      Python `float`.
    """
    held_out = np.asarray(held_out_log_probs, np.float64)
    drawn = np.random.default_rng(seed).choice(held_out, [NUM_RESAMPLES, group_size])
    threshold = np.quantile(np.abs(-drawn.mean(axis=1) - entropy), 1 - alpha)
    return float(np.mean(group_scores(log_probs, entropy, group_size) > threshold))
