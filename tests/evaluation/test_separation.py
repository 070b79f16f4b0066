"""The AUROC and its interval against every pair of images, and against scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics

from tfp_flows import evaluation
from tfp_flows.checks.errors import UserError


def _scores(seed):
    rng = np.random.default_rng(seed)
    own = rng.normal(size=40).round(1).astype(np.float32)  # with ties
    return own, np.append(rng.normal(0.5, size=30).round(1), np.inf).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_share_of_pairs_in_order(seed):
    own, foreign = _scores(seed)
    pairs = np.sign(foreign[:, np.newaxis] - own)
    found, low, high = evaluation.auroc(own, foreign)
    assert found == pytest.approx(np.mean((pairs + 1) / 2), abs=1e-12)
    assert low < found < high


def test_the_interval_is_that_of_scikit_learns_areas():
    own, foreign = _scores(0)
    foreign = foreign[:-1]
    scores, labels = np.concatenate([own, foreign]), np.repeat([0, 1], [len(own), len(foreign)])
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(200):
        weights = [rng.multinomial(len(one), np.full(len(one), 1 / len(one))) for one in (own, foreign)]
        areas.append(sklearn.metrics.roc_auc_score(labels, scores, sample_weight=np.concatenate(weights)))
    expected = (sklearn.metrics.roc_auc_score(labels, scores), *np.quantile(areas, [0.025, 0.975]))
    assert evaluation.auroc(own, foreign) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("own", "foreign"), [([], [1.0]), ([1.0], [])])
def test_what_has_no_area_is_refused(own, foreign):
    with pytest.raises(UserError, match="there must be scores of both sets"):
        evaluation.auroc(np.array(own), np.array(foreign))


def test_nan_is_as_foreign_as_can_be():
    assert evaluation.auroc(np.array([0.0, np.inf]), np.array([np.nan, 1.0]))[0] == 0.75
    assert evaluation.auroc(np.array([np.nan]), np.array([np.nan]))[0] == 0.5
