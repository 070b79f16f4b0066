"""The area under the ROC curve, against scikit-learn's."""

import numpy as np
import pytest
import sklearn.metrics

from tfp_flows.numerics import roc


@pytest.mark.parametrize("seed", range(3))
def test_area_is_scikit_learns_with_ties_and_infinities(seed):
    rng = np.random.default_rng(seed)
    own, foreign = rng.integers(0, 9, 40).astype(float), rng.integers(3, 12, 30).astype(float)
    own[0], foreign[:2] = -np.inf, np.inf
    finite = np.clip(np.concatenate([own, foreign]), -1e9, 1e9)  # scikit-learn refuses infinities
    expected = sklearn.metrics.roc_auc_score(np.repeat([0, 1], [40, 30]), finite)
    assert roc.area_under(own, foreign) == pytest.approx(expected, abs=1e-12)
    assert roc.area_under(foreign, own) == pytest.approx(1 - expected, abs=1e-12)


def test_nan_is_above_all():
    assert roc.area_under(np.array([0.0, np.inf]), np.array([np.nan])) == 1.0
    assert roc.area_under(np.array([np.nan]), np.array([np.nan])) == 0.5
