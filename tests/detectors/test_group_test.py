"""One p-value for a group of images: the exact law, and no false alarms, with ties and for any sizes."""

import collections
import itertools

import numpy as np
import pytest
from scipy import stats

from tests.detectors.tables import conformal
from tfp_flows import detectors
from tfp_flows.detectors import group_test


@pytest.mark.parametrize("m, n", [(1, 1), (1, 6), (6, 1), (3, 7), (7, 3), (5, 5)])
def test_the_law_is_that_of_all_orders(m, n):
    places = itertools.combinations(range(1, m + n + 1), m)
    law = collections.Counter(sum(chosen) - m * (m + 1) // 2 for chosen in places)
    below = np.cumsum([law[t] for t in range(m * n + 1)]) / sum(law.values())
    found = [group_test.rank_sum_tail(t, m, n) for t in range(m * n + 1)]
    np.testing.assert_allclose(found, below, rtol=1e-12)


def test_it_is_the_test_of_scipy_without_ties():
    rng = np.random.default_rng(0)
    for m, n in ((1, 30), (12, 40), (60, 20)):
        calibration, scores = rng.normal(size=n), rng.normal(0.5, size=m)
        p = conformal(calibration[np.newaxis], scores[np.newaxis])[0]
        expected = stats.mannwhitneyu(scores, calibration, alternative="greater", method="exact").pvalue
        assert detectors.group_p_value(p, n) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("m, n", [(100, 1_000), (40, 2_500)])
def test_beyond_the_exact_law_its_limit_takes_over(m, n, monkeypatch):
    deviation = (m * n * (m + n + 1) / 12) ** 0.5
    totals = [int(m * n / 2 - z * deviation) for z in (0.2, 1, 2, 3, 4.5)]
    exact = np.array([group_test.rank_sum_tail(t, m, n) for t in totals])
    monkeypatch.setattr(group_test, "_MOST", 0)
    limit = np.array([group_test.rank_sum_tail(t, m, n) for t in totals])
    np.testing.assert_allclose(limit[:3], exact[:3], rtol=0.01)
    assert (limit[3:] > exact[3:]).all() and not (limit == exact).any()


@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize("m, n", [(1, 19), (8, 50), (50, 50), (200, 30)])
def test_groups_like_the_calibration_images_raise_no_more_alarms_than_alpha(m, n, decimals):
    """Where Fisher's combination, for independent p-values, raises far more."""
    rng = np.random.default_rng(5)
    calibration, scores = rng.normal(size=(1_000, n)), rng.normal(size=(1_000, m))
    if decimals is not None:
        calibration, scores = np.round(calibration, decimals), np.round(scores, decimals)
    p = conformal(calibration, scores)
    found = np.array([detectors.group_p_value(row, n) for row in p])
    for alpha in (0.01, 0.05, 0.1, 0.3):
        assert (found <= alpha).mean() <= alpha + 4 * (alpha * (1 - alpha) / 1_000) ** 0.5
    if decimals is None and m > 1:
        assert (found <= 0.1).mean() > 0.06
    if (m, n, decimals) == (200, 30, None):
        fisher = stats.chi2.sf(-2 * np.log(p.astype(np.float64)).sum(axis=1), 2 * m)
        assert (fisher <= 0.05).mean() > 0.08


def test_a_group_that_is_a_little_stranger_is_found_where_no_image_is():
    rng = np.random.default_rng(0)
    p = conformal(rng.normal(size=(200, 500)), rng.normal(0.7, size=(200, 60)))
    assert np.mean([detectors.group_p_value(row, 500) <= 0.001 for row in p]) > 0.9
    assert np.mean([detectors.select(row).selected for row in p]) < 0.1


def test_what_is_no_group_is_refused():
    for p, words in (([], "at least one image"), ([0.33], "0.33 is not k / 11"), ([np.nan], "nan")):
        with pytest.raises(detectors.DetectorError, match=words):
            detectors.group_p_value(p, 10)
