"""How well a score tells two sets of images apart: scikit-learn's metrics with bootstrap intervals."""

import dataclasses
from typing import NamedTuple

import numpy as np
import scipy.stats
import sklearn.metrics

from tfp_flows import evaluation
from tfp_flows.detectors import calibration
from tfp_flows.detectors.conformal import Conformal

TRUE_POSITIVE_RATE = 0.95


class Estimate(NamedTuple):
    """A value and its 95 % percentile bootstrap interval, None where a set has too few images for one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Separation:
    """Out-of-distribution images are the positive class, a higher score is more so.

    Attributes:
      auroc: Area under the ROC curve: the probability that a foreign image scores higher than one of the
        model's own kind, ties counted half; 0.5 is chance.
      average_precision: Of the precision-recall curve; chance is the share of foreign images.
      fpr_at_95_tpr: The share of own images called foreign where 95 % of the foreign ones are.
    """

    auroc: Estimate
    average_precision: Estimate
    fpr_at_95_tpr: Estimate


def separation(own: np.ndarray, foreign: np.ndarray, num_bootstrap: int = 200, seed: int = 0) -> Separation:
    """`Separation` of two sets by their scores.

    Args:
      own: Scores `[N]` of in-distribution images; infinite ones are allowed.
      foreign: Scores `[M]` of the others.
      num_bootstrap: Resamples, of both sets.
      seed: Of the resamples.

    Returns:
      `Separation`.
    """
    # Metrics depend on the order alone, and scikit-learn refuses infinity.
    ranks = scipy.stats.rankdata(np.concatenate([own, foreign]), method="dense")
    labels = np.repeat([0, 1], [len(own), len(foreign)])
    values = [float(value) for value in _metrics(labels, ranks, np.ones(len(labels)))]
    if not evaluation.enough(len(own), len(foreign)):
        return Separation(*map(Estimate, values))
    rng = np.random.default_rng(seed)
    resampled = np.array(
        [
            _metrics(labels, ranks, _bootstrap_weights(rng, len(own), len(foreign)))
            for _ in range(num_bootstrap)
        ]
    )
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    return Separation(*(Estimate(*map(float, ends)) for ends in zip(values, low, high, strict=True)))


def share_called(conformal: Conformal, scores: np.ndarray, alpha: float) -> float | None:
    """The share of scores `[N]` that are called out of distribution.

    Args:
      conformal: With the scores of calibration images.
      scores: `[N]`.
      alpha: Level.

    Returns:
      None where no p-value can be as small as `alpha`.
    """
    if not calibration.attainable(alpha, len(conformal.known_scores())):
        return None
    return float(conformal.predict(scores, alpha).mean())


def _bootstrap_weights(rng: np.random.Generator, *sizes: int) -> np.ndarray:
    return np.concatenate([rng.multinomial(n, np.full(n, 1 / n)) for n in sizes])


def _metrics(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None
) -> tuple[float, float, float]:
    false_positive, true_positive, _ = sklearn.metrics.roc_curve(
        labels, scores, sample_weight=weights, drop_intermediate=False
    )
    at = np.searchsorted(true_positive, TRUE_POSITIVE_RATE * (1 - 1e-12))
    return (
        sklearn.metrics.auc(false_positive, true_positive),
        sklearn.metrics.average_precision_score(labels, scores, sample_weight=weights),
        false_positive[at],
    )
