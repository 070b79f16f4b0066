"""Online p-values are independent and uniform given nothing: exactly, by counting orders; then simulated."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from tests.monitoring import streams
from tfp_flows import monitoring


@pytest.mark.parametrize(("n", "m"), [(1, 4), (2, 4), (3, 3)])
def test_the_law_of_the_ranks_by_counting_all_orders(n, m):
    """P(K_1, ..., K_m) is the product of (1 + c_k) / (n + 1 + t), over all (n + m)! orders of the scores."""
    found = {}
    for order in itertools.permutations(range(n + m)):
        ranks = tuple(1 + sum(order[i] > s for i in range(n)) for s in order[n:])
        found[ranks] = found.get(ranks, 0) + 1
    total = sum(found.values())
    assert len(found) == (n + 1) ** m
    for ranks, count in found.items():
        law = Fraction(1)
        for t, k in enumerate(ranks):
            law *= Fraction(1 + ranks[:t].count(k), n + 1 + t)
        assert Fraction(count, total) == law


def test_a_draw_is_the_randomised_distribution_function_of_that_law():
    n, ranks = 3, np.random.default_rng(0).integers(1, 5, 600)  # more than are compared at once
    uniforms = np.random.default_rng(1).random(600)
    urn = monitoring.Urn(n)
    found = np.concatenate([urn.draw(ranks[:5], uniforms[:5]), urn.draw(ranks[5:], uniforms[5:])])
    counts = np.zeros(n + 1)
    for t, (k, v) in enumerate(zip(ranks, uniforms, strict=True)):
        law = (1 + counts) / (n + 1 + t)
        assert found[t] == pytest.approx(law[: k - 1].sum() + v * law[k - 1], abs=1e-12)
        counts[k - 1] += 1
    assert urn.counts.tolist() == counts.tolist()


def test_bounds_are_never_reached():
    urn = monitoring.Urn(2)
    u = urn.draw(np.array([1, 3]), np.array([0.0, 1 - 2.0**-53]))
    assert 0 < u[0] and u[1] < 1 and np.isfinite(monitoring.payoffs(u)).all()


@pytest.mark.parametrize("ties", [False, True])
def test_they_are_uniform_and_independent_where_split_ones_are_not(ties):
    """2,000 streams, n = 20: means of 200 online p-values vary as those of independent uniform ones.

    Those of split p-values vary by what the calibration images happened to be, 10 times as much.
    """
    rng = np.random.default_rng(0)
    draw = (lambda size: rng.integers(0, 6, size).astype(np.float32)) if ties else rng.normal
    calibration, scores = draw(size=(2_000, 20)), draw(size=(2_000, 200))
    u = streams.online(calibration, scores, rng)
    assert stats.kstest(u[:, [0, 50, 199]].ravel(), "uniform").pvalue > 0.001
    variance = u.mean(axis=1).var() * 12 * 200
    assert variance == pytest.approx(1.0, abs=5 * np.sqrt(2 / 2_000))
    split = np.stack([streams.split_p_values(*pair) for pair in zip(calibration, scores, strict=True)])
    assert split.mean(axis=1).var() * 12 * 200 > 6
