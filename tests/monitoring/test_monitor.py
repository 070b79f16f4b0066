"""The monitor: pieces of any size, a restart, ties, groups, and what the alarm says."""

import json

import numpy as np
import pytest

from tests.monitoring import streams
from tfp_flows import monitoring

RNG = np.random.default_rng(0)
CALIBRATION = RNG.normal(size=100)
SCORES = np.concatenate([RNG.normal(size=400), RNG.normal(2, size=100)])
DAYS = [f"day {i // 50}" for i in range(500)]


def _watched(pieces, **settings):
    monitor = monitoring.Monitor(CALIBRATION, **settings)
    start = 0
    for end in [*pieces, len(SCORES)]:
        monitor.update(SCORES[start:end], groups=DAYS[start:end])
        text = json.dumps(monitor.to_json())
        monitor = monitoring.Monitor.from_json(json.loads(text), CALIBRATION)
        start = end
    return monitor


def test_pieces_and_restarts_give_what_one_pass_gives():
    whole = monitoring.Monitor(CALIBRATION)
    whole.update(SCORES, groups=DAYS)
    for pieces in ([], [1, 2, 3], [99, 420, 421]):
        assert _watched(pieces).to_json() == whole.to_json()


def test_the_alarm_says_when_and_what():
    monitor = monitoring.Monitor(CALIBRATION, level=0.01)
    assert monitor.update(SCORES[:400], [f"{i}.png" for i in range(400)]) is None
    alarm = monitor.update(SCORES[400:], [f"{i}.png" for i in range(400, 500)])
    assert 400 < alarm.row <= 425 and alarm.key == f"{alarm.row - 1}.png"
    assert alarm.group == "rows 401 to 500" and alarm.log_wealth >= np.log(100)
    assert "foreign" in alarm.meaning and 350 < alarm.since <= 410
    assert monitor.update(SCORES[:10]) is alarm  # it stays
    other = monitoring.Monitor(CALIBRATION).update(-np.abs(SCORES[:100]) - 2)
    assert "ordinary" in other.meaning


def test_p_values_alone_give_the_same_alarm_where_there_are_no_ties():
    p_values = streams.split_p_values(np.float32(CALIBRATION), np.float32(SCORES))
    by_scores, by_p_values = monitoring.Monitor(CALIBRATION), monitoring.Monitor(100)
    assert by_scores.update(SCORES) == by_p_values.update_p_values(p_values)
    assert by_scores.martingale.to_json() == by_p_values.martingale.to_json()


def test_scores_that_repeat_those_of_the_calibration_raise_no_alarm():
    """Every score has ties: taken as they are, ranks would all be too large."""
    rng = np.random.default_rng(1)
    calibration, scores = rng.integers(0, 4, 200), rng.integers(0, 4, 3_000)
    assert monitoring.Monitor(calibration).update(scores) is None
    p_values = streams.split_p_values(np.float32(calibration), np.float32(scores))
    assert monitoring.Monitor(200).update_p_values(p_values) is not None


def test_groups_hold_their_counts_and_strangest():
    monitor = monitoring.Monitor(CALIBRATION)
    monitor.update(SCORES, groups=DAYS)
    group = monitor.groups["day 8"]
    assert (group.first, group.last, group.counts.total()) == (401, 450, 50)
    strangest = sorted(range(400, 450), key=lambda i: -SCORES[i])[:5]
    assert [row - 1 for _, _, row, _ in group.strangest] == strangest
    assert monitor.overall().counts.total() == 500 == monitor.counts.sum()
    assert monitor.compare()["day 9"].p_value < 1e-6 < 1e-3 < monitor.compare()["day 2"].p_value
    lines = monitoring.words.summary(monitor, monitoring.words.unusual(monitor.compare()))
    assert any("day 8, day 9" in line for line in lines) and lines[-1].startswith("ALARM at row 4")
    assert len(monitoring.words.strangest(monitor, 7)) == 7


def test_what_is_kept_is_bounded():
    monitor = monitoring.Monitor(CALIBRATION)
    monitor.update(np.random.default_rng(2).normal(size=9_000))
    assert 900 < len(monitor.wealth) <= 2_000
    rows = [row for row, _ in monitor.wealth]
    assert rows == list(range(rows[0], 9_001, rows[0]))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"level": 0.0}, "`level`"),
        ({"level": 1.0}, "`level`"),
        ({"alpha": 2.0}, "`alpha`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"calibration": []}, "at least one"),
        ({"calibration": [np.nan]}, "NaN"),
        ({"calibration": 0}, "at least one"),
    ],
)
def test_settings_that_make_no_sense(arguments, word):
    with pytest.raises(ValueError, match=word):
        monitoring.Monitor(**({"calibration": CALIBRATION} | arguments))


def test_scores_and_states_that_make_no_sense():
    monitor = monitoring.Monitor(9)
    with pytest.raises(monitoring.MonitoringError, match="not k / 10"):
        monitor.update_p_values([0.1, 0.123])
    with pytest.raises(monitoring.MonitoringError, match="calibration scores are needed"):
        monitor.update([1.0])
    with pytest.raises(monitoring.MonitoringError, match="NaN"):
        monitoring.Monitor(CALIBRATION).update([np.nan])
    with pytest.raises(monitoring.MonitoringError, match="9 calibration images, now there are 100"):
        monitoring.Monitor.from_json(monitor.to_json(), CALIBRATION)
    for change in ({"counts": [1]}, {"groups": [{}]}, {"martingale": None}, {"alarm": 3}):
        with pytest.raises(monitoring.MonitoringError):
            monitoring.Monitor.from_json(monitor.to_json() | change, 9)
