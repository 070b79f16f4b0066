"""What `detect` says is to be expected of a calibration set."""

import numpy as np
import pytest
from scipy import integrate, stats

from tests.detectors.tables import conformal
from tfp_flows import detectors
from tfp_flows.detectors import calibration, coverage


@pytest.mark.parametrize("n, alpha", [(19, 0.1), (100, 0.05), (300, 0.01)])
def test_false_alarms_are_those_of_many_calibration_sets(n, alpha):
    """4,000 sets of normal scores: the share of all own images above the threshold is known exactly."""
    sets = np.sort(np.random.default_rng(n).normal(size=(4_000, n)), axis=1)
    limits = np.array([calibration.threshold(alpha, row) for row in sets])
    rates = stats.norm.sf(limits)
    found = coverage.false_alarms(alpha, n)
    assert rates.mean() == pytest.approx(found.expected, rel=0.05)
    below, above = (rates < found.low).mean(), (rates > found.high).mean()
    assert abs(below - 0.05) < 0.015 and abs(above - 0.05) < 0.015
    assert abs((rates <= coverage.false_alarms(alpha, n, 0.5).high).mean() - 0.75) < 0.03


def test_false_alarms_by_integration():
    """The 5 % points of Beta(2, 18), for n = 19 at alpha = 0.1."""
    found = coverage.false_alarms(0.1, 19)
    for end, expected in ((found.low, 0.05), (found.high, 0.95)):
        area = integrate.quad(lambda x: 19 * 18 * x * (1 - x) ** 17, 0, end)[0]
        assert area == pytest.approx(expected, rel=1e-9)
    assert coverage.false_alarms(0.01, 19) == (0, 0, 0)  # no p-value is so small
    assert coverage.false_alarms(0.99, 9) == (0.9, *coverage.false_alarms(0.95, 9)[1:])


def test_the_rate_in_a_sentence():
    assert coverage.rate_text(0.05, 1_000) == (
        "Of the model's own kind 5.00% are called so at 0.05; given 1,000 calibration images, "
        "3.92% to 6.18% for 90% of such sets."
    )
    assert coverage.rate_text(0.01, 50) == calibration.unattainable(0.01, 50)


def test_expectations_are_a_small_aligned_table():
    text = coverage.expectations(1_000)
    lines = text.splitlines()
    assert len(lines) == 7 and max(map(len, lines)) <= 100 and len(set(line[:8] for line in lines[2:6])) == 4
    assert lines[2].split() == ["0.1", "999", "848", "to", "1,159"]
    assert {line.index(line.split()[1]) + len(line.split()[1]) for line in lines[2:6]} == {20}
    assert lines[6] == "The smallest p-value is 1/1,001 = 0.000999; 0.0001 takes 9,999 images."
    few = coverage.expectations(40)
    assert "0.01        none    it takes 99 calibration images" in few and "0.01 takes 99 images" in few
    assert coverage.expectations(1).count("none") == 4
    for n in (
        1,
        9,
        98,
        99,
        100,
        998,
        999,
        10**6 - 1,
    ):  # the smaller one is smaller, and by itself attainable
        smaller = float(coverage.expectations(n).split("; ")[1].split()[0])
        assert smaller < 1 / (n + 1) and not calibration.attainable(smaller, n)


@pytest.mark.parametrize("n", [9, 19, 50, 99, 999])
@pytest.mark.parametrize("m", [1, 10, 77, 1_000])
@pytest.mark.parametrize("fdr", [0.05, 0.1, 0.3])
def test_so_many_images_must_be_stranger_than_all_others(fdr, m, n):
    """Against `select`, with so many of the smallest p-value and all others 1; and one less."""
    needed = coverage.foreign_needed(fdr, m, n)

    def selected(count):
        p = np.ones(m, np.float32)
        p[:count] = np.float32(1) / np.float32(n + 1)
        return detectors.select(p, fdr, num_calibration=n).selected.any()

    assert needed > m or selected(needed)
    assert needed == 1 or not selected(min(needed - 1, m))
    words = coverage.unselectable(fdr, m, n)
    assert (words == "") == (needed == 1) and (("none can have" in words) == (needed > m))


@pytest.mark.parametrize("fdr, m, foreign", [(0.1, 1, 1), (0.1, 1_000, 1), (0.1, 1_000, 7), (0.3, 50, 2)])
def test_so_many_calibration_images_it_takes(fdr, m, foreign):
    needed = coverage.calibration_needed(fdr, m, foreign)
    assert coverage.foreign_needed(fdr, m, needed) <= foreign
    assert needed == 1 or coverage.foreign_needed(fdr, m, needed - 1) > foreign


def test_a_rate_that_cannot_be_reached_is_refused():
    with pytest.raises(detectors.DetectorError, match="`fdr`: 8 calibration images cannot.*at least 9,"):
        coverage.need_fdr(0.1, 8)
    coverage.need_fdr(0.1, 9)
    p = conformal(np.arange(9.0)[np.newaxis], np.full((1, 20), 99.0))[0]
    assert detectors.select(p, 0.1, num_calibration=9).selected.all()
    for call in (
        lambda: coverage.false_alarms(1.0, 10),
        lambda: coverage.false_alarms(0.1, 0),
        lambda: coverage.false_alarms(0.1, 10, 1.0),
        lambda: coverage.foreign_needed(0.1, 0, 5),
        lambda: coverage.calibration_needed(0.1, 5, 6),
    ):
        with pytest.raises(detectors.DetectorError, match="must be"):
            call()
