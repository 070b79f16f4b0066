"""Rows into a monitor: what is refused is not taken, however the rows are cut into pieces."""

import numpy as np
import pytest

from tests.monitoring import streams
from tfp_flows import monitoring

CALIBRATION = np.sort(np.float32(np.random.default_rng(0).normal(size=99)))


def _rows(scores, calibration=CALIBRATION, name="2026-11-28/{}.png"):
    scores = np.float32(scores)
    p_values = streams.split_p_values(calibration, scores)
    return [
        monitoring.Row(name.format(i), float(p), float(s), "")
        for i, (p, s) in enumerate(zip(p_values, scores, strict=True))
    ]


def _watch(calibrated=None, **settings):
    calibrated = calibrated or monitoring.Calibrated(CALIBRATION)
    return monitoring.Watch(monitoring.Settings(**settings), calibrated, monitoring.Faults())


def test_rows_that_came_with_a_refused_one_are_new_when_they_come_again():
    good = _rows(np.random.default_rng(1).normal(size=10))
    bad = good[0]._replace(key="of another detector", p_value=0.123)
    watch = _watch()
    watch.take(good[:4])
    with pytest.raises(monitoring.MonitoringError, match="another detector"):
        watch.take([*good, bad])
    watch.take(good)
    assert watch.monitor.rows == 10 and watch.repeated == 4 + 4


def test_p_values_of_many_calibration_images_are_those_of_their_scores():
    many = np.sort(np.float32(np.random.default_rng(2).normal(size=60_000)))
    rows = _rows(np.random.default_rng(3).normal(size=2_000), many)
    watch = _watch(monitoring.Calibrated(many))
    watch.take(rows)
    assert watch.monitor.rows == 2_000
    with pytest.raises(monitoring.MonitoringError, match="1 of 1 p-values are not those"):
        watch.take([rows[0]._replace(key="next", p_value=rows[0].p_value + 1 / 60_001)])


@pytest.mark.parametrize("size", [1, 100])
def test_single_rows_without_a_time_or_off_the_grid_are_counted_in_pieces_of_any_size(size):
    rows = _rows(np.random.default_rng(4).normal(size=100))
    rows[50] = rows[50]._replace(key="undated.png")
    rows[60] = rows[60]._replace(p_value=0.123, key="2026-11-28/off.png")
    clock = monitoring.Clock("day")
    watch = _watch(monitoring.Calibrated(len(CALIBRATION)), clock=clock)
    for start in range(0, 100, size):
        watch.take(rows[start : start + size], sort=False)
    assert watch.monitor.rows == 99
    assert sorted(watch.faults.counts.values()) == [1, 1]
    assert any("without a time" in line for line in watch.faults.lines())


def test_a_table_of_which_nothing_has_a_time_or_is_on_the_grid_is_refused():
    rows = _rows(np.random.default_rng(5).normal(size=10), name="{}.png")
    with pytest.raises(monitoring.MonitoringError, match="no key has a time"):
        _watch(clock=monitoring.Clock("day")).take(rows)
    watch = _watch(monitoring.Calibrated(90))
    with pytest.raises(monitoring.MonitoringError, match="are not k / 91"):
        watch.take(rows)
    watch.take([row._replace(p_value=1 / 91) for row in rows[:3]])  # what was refused counts for nothing
    assert watch.monitor.rows == 3
