"""How well a score tells one set of images from another."""

import numpy as np
import sklearn.metrics

NUM_BOOTSTRAP = 200
FEWEST = 10  # images of a set: resampling fewer says next to nothing, of one image nothing at all


def auroc(
    in_distribution: np.ndarray,
    out_of_distribution: np.ndarray,
    num_bootstrap: int = NUM_BOOTSTRAP,
    seed: int = 0,
) -> tuple[float, float | None, float | None]:
    """Area under the ROC curve of a score, higher meaning out of distribution.

    Args:
      in_distribution: Scores `[N]`.
      out_of_distribution: Scores `[M]`, the positive class.
      num_bootstrap: Resamples (of both sets) for the interval; 0 for none.
      seed: Of the resamples.

    Returns:
      (AUROC, low, high): the 95 % percentile bootstrap interval; (AUROC, None, None) without one, or where
      either set has fewer than `FEWEST` images.
    """
    scores = np.concatenate([in_distribution, out_of_distribution])
    labels = np.repeat([0, 1], [len(in_distribution), len(out_of_distribution)])
    value = float(sklearn.metrics.roc_auc_score(labels, scores))
    if not (num_bootstrap and enough(len(in_distribution), len(out_of_distribution))):
        return value, None, None
    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(num_bootstrap):
        weights = np.concatenate(
            [
                rng.multinomial(len(one), np.full(len(one), 1 / len(one)))
                for one in (in_distribution, out_of_distribution)
            ]
        )
        resampled.append(sklearn.metrics.roc_auc_score(labels, scores, sample_weight=weights))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return value, float(low), float(high)


def enough(*counts: int) -> bool:
    """Whether sets of so many images are large enough for an interval."""
    return min(counts) >= FEWEST
