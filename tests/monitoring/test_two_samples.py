"""Exact tests against the calibration images, by counting and by scipy on scores; intervals that cover."""

import itertools

import numpy as np
import pytest
from scipy import stats

from tests.monitoring import streams
from tfp_flows import monitoring
from tfp_flows.monitoring import two_samples


def _compared(calibration, scores, k):
    ranks = monitoring.Calibrated(calibration).ranks(np.float32(scores), np.zeros(len(scores)), 0)
    return monitoring.compare(*np.unique(ranks, return_counts=True), len(calibration), k)


def test_the_share_has_the_law_that_counting_gives():
    """n = 4, m = 3, k = 2: how many of the new ones are above the second largest of the old ones."""
    n, m, k = 4, 3, 2
    counts = np.zeros(m + 1)
    for order in itertools.permutations(range(n + m)):
        limit = sorted(order[:n])[-k]
        counts[sum(s > limit for s in order[n:])] += 1
    tails = counts[::-1].cumsum()[::-1] / counts.sum()
    for foreign in range(m + 1):
        assert two_samples._tail(foreign, m, k, n) == pytest.approx(tails[foreign], abs=1e-12)
    low, high = two_samples.expected_range(m, k, n)
    inside = sum(counts[x] for x in range(m + 1) if low <= x / m <= high) / counts.sum()
    assert inside >= 0.95


def test_the_shape_is_scipys_two_sample_test_on_the_scores_themselves():
    rng = np.random.default_rng(0)
    for shift, n, m in ((0, 30, 50), (1, 30, 7), (-0.5, 100, 60)):
        old, new = rng.normal(size=n), rng.normal(shift, size=m)
        expected = stats.ks_2samp(old, new).pvalue
        assert _compared(old, new, 1).p_shape == pytest.approx(expected, rel=1e-6)


def test_false_positives_are_rare_and_the_range_covers():
    """1,000 calibration sets of 40, and 30 images of the same kind."""
    rng = np.random.default_rng(1)
    found = [_compared(rng.normal(size=40), rng.normal(size=30), 2) for _ in range(1_000)]
    assert np.mean([each.p_value <= 0.05 for each in found]) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1_000)
    covered = np.mean([each.expected_low <= each.share <= each.expected_high for each in found])
    assert covered >= 0.95 - 4 * np.sqrt(0.05 * 0.95 / 1_000)
    assert np.mean([each.share for each in found]) == pytest.approx(2 / 41, abs=0.006)


def test_the_interval_is_that_of_clopper_and_pearson():
    for foreign, images in ((0, 20), (3, 20), (20, 20), (7, 1_000)):
        expected = stats.binomtest(foreign, images).proportion_ci(0.95, "exact")
        assert two_samples.share_interval(foreign, images) == pytest.approx(tuple(expected), abs=1e-9)


def test_many_images_have_the_range_of_the_limit():
    near = two_samples.expected_range(2**16, 10, 199)
    beyond = two_samples.expected_range(2**16 + 1, 10, 199)
    assert near == pytest.approx(beyond, abs=1e-4)


def test_foreign_images_are_discovered_among_days():
    rng = np.random.default_rng(2)
    old = rng.normal(size=200)
    days = [_compared(old, rng.normal(3 * (day == 4), size=40), 10).p_value for day in range(8)]
    assert monitoring.discoveries(days, 0.05) == [day == 4 for day in range(8)]
    assert monitoring.discoveries([], 0.05) == []


def test_the_histogram_counts_all_and_expects_one():
    counts = np.random.default_rng(3).multinomial(5_000, np.full(51, 1 / 51))
    bins = monitoring.histogram(counts)
    assert sum(found.images for found in bins) == 5_000 and len(bins) == 20
    assert sum(found.density * (found.high - found.low) for found in bins) == pytest.approx(1)
    assert bins[0].low == 0 and bins[-1].high == 1
    assert all(found.expected_low < 1 < found.expected_high for found in bins)
    assert len(monitoring.histogram(np.array([3, 4]))) == 2


def test_p_values_of_a_table_give_the_ranks_of_the_scores():
    rng = np.random.default_rng(4)
    for n in (1, 50, 4_999):
        old, new = np.float32(rng.normal(size=n)), np.float32(rng.normal(size=300))
        known = monitoring.Calibrated(old)
        from_p_values = monitoring.Calibrated(n).ranks_of_p_values(streams.split_p_values(old, new))
        assert from_p_values.tolist() == known.ranks(new, rng.random(300), 0).tolist()
        np.testing.assert_allclose(known.p_values(new), streams.split_p_values(old, new), rtol=1e-6)
    assert monitoring.Calibrated(9).ranks_of_p_values(np.array([0.1, 0.15, 1.0, 0.0, 1.1])).tolist() == [
        *(1, 0, 10, 0, 0)
    ]


@pytest.mark.parametrize("n", [1, 19, 199, 1_000, 9_999, 99_999])
def test_the_number_of_calibration_images_is_found_in_p_values(n):
    ranks = np.random.default_rng(5).integers(1, n + 2, 200)
    assert monitoring.guess_num_calibration(np.float32(ranks) / np.float32(n + 1)) == n


def test_no_number_is_found_where_there_is_none():
    assert monitoring.guess_num_calibration(np.random.default_rng(6).random(100)) is None
