"""Bets are densities, the wealth is a martingale, and a restart changes nothing."""

import json
import math

import numpy as np
import pytest
from scipy import integrate, stats

from tests.monitoring import streams
from tfp_flows import monitoring
from tfp_flows.monitoring.martingale import SHARES


@pytest.mark.parametrize("number", range(len(monitoring.BETS)))
def test_a_bet_is_fair(number):
    """Its expectation on a uniform p-value is 1, by quadrature; the densities are also those of scipy."""
    bet = monitoring.BETS[number]
    total, error = integrate.quad(lambda u: monitoring.payoffs(np.array([u]))[0, number], 0, 1, limit=200)
    assert total == pytest.approx(1.0, abs=max(1e-7, error))
    u = np.array([1e-9, 0.1, 0.5, 0.9])
    np.testing.assert_allclose(monitoring.payoffs(u)[:, number], stats.beta.pdf(u, bet.a, bet.b), rtol=1e-12)


def test_the_wealth_is_a_martingale():
    """The mean of the next wealth over a uniform p-value is the wealth, whatever was seen, to rounding."""
    martingale = monitoring.Martingale()
    martingale.update(np.random.default_rng(0).beta(0.7, 1.0, 30))
    pays = monitoring.payoffs(np.array([0.3]))[0]
    means = np.ones(len(pays))  # E f_j(U), by the test above
    _, growth = monitoring.bet(martingale._weights, means, 31)
    assert growth == pytest.approx(1.0, abs=1e-14)
    assert SHARES.sum() == pytest.approx(1.0)


def test_it_is_the_sum_over_all_ways_to_bet():
    """Four p-values: every sequence of bets, with its prior probability, times what it wins."""
    u = np.array([0.03, 0.5, 0.9, 0.002])
    pays, size = monitoring.payoffs(u), len(monitoring.BETS)
    total = 0.0
    for way in np.ndindex(*[size] * 4):
        prior = 1.0
        for t, j in enumerate(way):
            rate = 1 / (t + 2)
            stay = float(t > 0 and way[t - 1] == j) if t else SHARES[j]
            prior *= (1 - rate) * stay + rate * SHARES[j]
        total += prior * math.prod(pays[t, j] for t, j in enumerate(way))
    assert monitoring.Martingale().update(u)[-1] == pytest.approx(math.log(total), abs=1e-12)


def test_pieces_and_a_restart_change_nothing():
    u = np.random.default_rng(1).random(200)
    whole, piecewise = monitoring.Martingale(), monitoring.Martingale()
    logs = whole.update(u)
    piecewise.update(u[:70])
    piecewise = monitoring.Martingale.from_json(json.loads(json.dumps(piecewise.to_json())))
    assert piecewise.update(u[70:]).tolist() == logs[70:].tolist()
    assert piecewise.to_json() == whole.to_json()
    assert whole.level == math.exp(-max(0.0, logs.max())) and whole.lowest_at == logs.argmin() + 1


def test_quiet_times_cost_little_and_luck_does_not_overflow():
    logs = streams.log_wealth(np.random.default_rng(2).random((50, 4_000)))
    assert np.median(logs[:, -1]) > -0.75 * math.log(4_000)  # t^(-1/2), and a little
    rich = monitoring.Martingale()
    assert rich.update(np.full(2_000, 1e-9))[-1] > 10_000 and rich.level == 0.0


@pytest.mark.parametrize("change", [{"weights": [1.0]}, {"log_wealth": "much"}, {"steps": None}])
def test_what_is_no_martingale_is_refused(change):
    with pytest.raises(monitoring.MonitoringError, match="no martingale"):
        monitoring.Martingale.from_json(monitoring.Martingale().to_json() | change)
