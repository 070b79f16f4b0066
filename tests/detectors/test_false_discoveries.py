"""Alarms over many images: q-values against scipy, and false discovery rates by simulation."""

import json

import numpy as np
import pytest
from scipy import stats

from tests.detectors.tables import lond, proportions, tables
from tfp_flows import detectors
from tfp_flows.detectors import false_discoveries, online


def within(found, bound):
    """Whether the mean of proportions is at most the bound, but for four standard errors."""
    return found.mean() <= bound + 4 * found.std() / len(found) ** 0.5


@pytest.mark.parametrize("kind", ["spread", "ties", "one"])
def test_q_values_are_those_of_scipy(kind):
    rng = np.random.default_rng(1)
    p = {"spread": rng.random(500) ** 3, "ties": rng.integers(1, 20, 500) / 19, "one": np.array([0.3])}[kind]
    found = detectors.select(p, 0.1)
    np.testing.assert_allclose(found.q_values, stats.false_discovery_control(p), rtol=1e-6)
    np.testing.assert_array_equal(found.selected, stats.false_discovery_control(p) <= 0.1)
    assert found.threshold == (np.float32(p[found.selected].max()) if found.selected.any() else 0)
    assert found.q_values.dtype == np.float32 and found.null_share == 1
    order = rng.permutation(len(p))
    np.testing.assert_array_equal(detectors.select(p[order], 0.1).q_values, found.q_values[order])


def test_storey_by_hand():
    p = np.array([0.01, 0.02, 0.3, 0.6, 0.8])
    found = detectors.select(p, 0.1, storey=True)
    assert found.null_share == 1  # (1 + 2) / (5 / 2), and no more than 1
    found = detectors.select(np.array([0.01, 0.02, 0.03, 0.04, 0.8]), 0.1, storey=True)
    assert found.null_share == pytest.approx(0.8)
    np.testing.assert_allclose(found.q_values, [0.04, 0.04, 0.04, 0.04, 1], rtol=1e-6)
    found = detectors.select(np.array([0.01, 0.3]), 0.9, storey=True, storey_lambda=0.2)
    np.testing.assert_array_equal(found.selected, [True, False])  # 0.3 is above lambda


def test_a_q_value_that_equals_the_rate_is_selected_whatever_float32_makes_of_it():
    """j images of the smallest p-value among m = j (n + 1) fdr have q = fdr, exactly."""
    missed = 0
    for n, j in ((n, j) for n in (29, 59, 69, 99, 199, 489, 999) for j in range(1, 40)):
        m = j * (n + 1) // 10
        p = np.full(m, np.float32(n) / np.float32(n + 1))
        p[:j] = np.float32(1) / np.float32(n + 1)
        missed += not detectors.select(p, 0.1).selected[0]
        found = detectors.select(p, 0.1, num_calibration=n)
        assert found.selected.sum() == j and found.q_values[0] == np.float32(0.1)
    assert missed  # else the number would not matter


def test_nothing_of_nothing():
    found = detectors.select([], 0.1)
    assert found.q_values.shape == found.selected.shape == (0,) and found.threshold == 0
    assert detectors.select(np.array([], np.float32), storey=True, num_calibration=5).null_share == 1


@pytest.mark.parametrize(
    "p, settings, words",
    [
        ([0.1, np.nan, np.nan], {}, "2 of 3 are not, the first is number 1, nan"),
        ([0.1, 1.5], {}, "the first is number 1, 1.5"),
        ([-0.1], {}, "1 of 1 are not"),
        ([[0.1]], {}, "one axis"),
        (["a"], {}, "must be numbers"),
        ([0.1], {"fdr": 0.0}, "`fdr` must be in"),
        ([0.1], {"fdr": 1.0}, "`fdr` must be in"),
        ([0.1], {"fdr": float("nan")}, "`fdr` must be in"),
        ([0.1], {"storey": True, "storey_lambda": 1}, "`storey_lambda` must be in"),
        ([0.5, 0.123], {"num_calibration": 9}, "0.123 is not k / 10, as 9 calibration"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(p, settings, words):
    with pytest.raises(detectors.DetectorError, match=words) as error:
        detectors.select(p, **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("storey", [False, True])
def test_false_discoveries_over_two_thousand_tables(storey, decimals):
    """With one calibration set a table; half of the images foreign, one in ten, none."""
    for n, m, share, shift in ((200, 100, 0.5, 3), (200, 100, 0.1, 4), (500, 40, 0.0, 0), (50, 100, 0.5, 3)):
        p, foreign = tables(n, m, share, shift, decimals=decimals)
        selected = np.stack([detectors.select(row, 0.1, storey=storey).selected for row in p])
        found = proportions(selected, foreign)
        bound = 0.1 if storey else 0.1 * (1 - share)
        assert within(found, bound), (n, share, found.mean())
        if n == 200:  # the bound is used, and foreign images are found
            assert found.mean() > 0.6 * bound and selected[foreign].mean() > 0.8


def test_alpha_alone_calls_mostly_own_images_where_few_are_foreign():
    p, foreign = tables(500, 200, 0.02, 4)
    assert proportions(p <= np.float32(0.05), foreign).mean() > 0.6
    assert within(proportions(np.stack([detectors.select(row).selected for row in p]), foreign), 0.1)


@pytest.mark.parametrize("horizon", [None, 300])
@pytest.mark.parametrize("n, share, decimals", [(4_000, 0.2, None), (4_000, 0.2, 1), (500, 0.0, None)])
def test_false_discoveries_of_streams_at_any_time(n, share, decimals, horizon):
    p, foreign = tables(n, 300, share, 5, decimals=decimals)
    called = lond(p, 0.1, horizon)
    for t in (10, 30, 100, 300):
        found = proportions(called[:, :t], foreign[:, :t])
        assert within(found, 0.1), (t, found.mean())
    if share and decimals is None:
        assert called[foreign].mean() > 0.5
    rules = [detectors.OnlineFDR(0.1, horizon) for _ in range(50)]
    again = [[rule.test(value) for value in row] for rule, row in zip(rules, p, strict=False)]
    np.testing.assert_array_equal(again, called[:50])


def test_online_weights_sum_to_one():
    """Up to a million, and of the rest the integral of a falling function, 2 Gamma(4, sqrt(ln t))."""
    from scipy import special

    t = np.arange(1, 10**6 + 1, dtype=float)
    weights = [online.weight(1), online.weight(2), online.weight(1000)]
    logs = np.log(np.maximum(t, 2))
    all_of_them = 0.07720838 * logs / (t * np.exp(np.sqrt(np.log(t))))
    np.testing.assert_allclose(all_of_them[[0, 1, 999]], weights)
    rest = 0.07720838 * 2 * special.gamma(4) * special.gammaincc(4, np.sqrt(np.log(t[-1])))
    assert 0.95 < all_of_them.sum() + rest <= 1
    assert sum(online.weight(t, 7) for t in range(1, 20)) == pytest.approx(1)


def test_a_stream_goes_on_where_it_was():
    p = np.random.default_rng(0).random(400) ** 4
    whole, first = detectors.OnlineFDR(0.2), detectors.OnlineFDR(0.2)
    expected = [whole.test(value) for value in p]
    found = [first.test(value) for value in p[:150]]
    second = detectors.OnlineFDR.from_json(json.loads(json.dumps(first.to_json())))
    found += [second.test(value) for value in p[150:]]
    assert found == expected and sum(expected) > 3 and second.to_json() == whole.to_json()


def test_what_is_no_stream_is_refused():
    rule = detectors.OnlineFDR(0.1, horizon=2)
    for value in (np.nan, -0.1, 1.5):
        with pytest.raises(detectors.DetectorError, match="`p_value` must be in"):
            rule.test(value)
    assert rule.tested == 0
    assert [rule.test(value) for value in (0.05, 0.11, 0.0)] == [True, False, False]  # the end was at 2
    for settings in ({"fdr": 0}, {"fdr": 1}, {"horizon": 0}, {"horizon": 2.5}):
        with pytest.raises(detectors.DetectorError, match="must be"):
            detectors.OnlineFDR(**settings)
    good = rule.to_json()
    for change in ({"fdr": 2}, {"tested": 1.5}, {"called": 9}, {"online_fdr_format": 2}, {"horizon": "a"}):
        with pytest.raises(detectors.DetectorError, match="no state of OnlineFDR"):
            detectors.OnlineFDR.from_json(good | change)
    with pytest.raises(detectors.DetectorError, match="no state of OnlineFDR"):
        detectors.OnlineFDR.from_json({})


def test_counts_say_what_all_p_values_say():
    p = np.random.default_rng(3).integers(1, 30, 1_000).astype(np.float32) / np.float32(30)
    values, places, counts = np.unique(p, return_inverse=True, return_counts=True)
    for storey in (False, True):
        distinct = false_discoveries.of_counts(values, counts, storey)
        np.testing.assert_array_equal(distinct.q_values[places], detectors.select(p, storey=storey).q_values)
