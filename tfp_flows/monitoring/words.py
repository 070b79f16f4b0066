"""What a monitor found, in words; and what to do."""

from collections.abc import Sequence

import numpy as np

from tfp_flows.detectors import calibration as levels
from tfp_flows.monitoring.groups import Group
from tfp_flows.monitoring.monitor import Alarm, Monitor
from tfp_flows.monitoring.two_samples import Comparison, discoveries

FALSE_DISCOVERIES = 0.05  # share, at most, of false ones among the groups that are called unusual
WHAT_TO_DO = (
    "Look at the strangest images; python -m tfp_flows.score --maps=DIR shows where they are strange.",
    "Is it the camera (dirt, focus, exposure, another size or format, another way of cutting)? Mend it.",
    "Is it the world (season, new things), and are the images good ones? Calibrate with images from after "
    "the change (python -m tfp_flows.detect --calibrate_on=folder:NEW); if too many are still called "
    "foreign, train with them.",
    "Is it neither? Images that come one right after another are alike, as frames of a video are: that is "
    "no drift, but no independent images either. Watch one image in many.",
    "Then begin anew: remove the state, or name another one. The alarm stays until then.",
)


def unusual(comparisons: dict[str, Comparison]) -> list[str]:
    """The labels of the groups that are more than chance: see `two_samples.discoveries`."""
    found = discoveries([c.p_value for c in comparisons.values()], FALSE_DISCOVERIES)
    return [label for label, called in zip(comparisons, found, strict=True) if called]


def summary(monitor: Monitor, odd: Sequence[str]) -> list[str]:
    """A few lines: how many are called foreign, the wealth, the unusual groups, alarm or none.

    Args:
      monitor: With at least one row.
      odd: From `unusual`.
    """
    level = monitor.settings["level"]
    lines = [_share(monitor), wealth_line(monitor)]
    if odd:
        shown = ", ".join(odd[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
        lines.append(f"Unlike the calibration images: {shown} ({len(odd)} of {len(monitor.groups)}).")
    if monitor.alarm is None:
        return [*lines, f"No alarm at level {level:g}."]
    return [*lines, alarm_line(monitor.alarm, level)]


def wealth_line(monitor: Monitor) -> str:
    """The martingale: where it is, how high it was, and what that means."""
    found = monitor.martingale
    return (
        f"Wealth {_number(found.log_wealth)}, at most {_number(found.log_highest)} so far (without drift it "
        f"ever comes so high with a probability of at most {found.level:.2g}); "
        f"an alarm is at {1 / monitor.settings['level']:g}."
    )


def alarm_line(alarm: Alarm, level: float) -> str:
    """When, where, what, how surely."""
    return (
        f"ALARM at row {alarm.row:,} ({alarm.group}; {alarm.key}): {alarm.meaning}, since about row "
        f"{alarm.since:,}. Wealth {_number(alarm.log_wealth)}; without drift there is an alarm, ever, with "
        f"a probability of at most {level:g}."
    )


def strangest(monitor: Monitor, count: int = 5) -> list[tuple[str, str, float]]:
    """(group, key, p-value) of the strangest images: of the groups since the drift began, or of all."""
    alarm = monitor.alarm
    groups: list[Group] = [g for g in monitor.groups.values() if alarm is None or g.last >= alarm.since]
    images = sorted((image, group.label) for group in groups for image in group.strangest)
    return [(label, image[3], image[0] / len(monitor.counts)) for image, label in images[:count]]


def _share(monitor: Monitor) -> str:
    alpha, n = monitor.settings["alpha"], monitor.calibrated.num_calibration
    if not monitor.foreign_rank:
        return f"Called foreign: none can be; {levels.unattainable(alpha, n)}"
    whole = monitor.overall().compare(n, monitor.foreign_rank)
    return (
        f"Called foreign at {alpha:g}: {whole.foreign:,} of {whole.images:,}, {whole.share:.1%} (expected "
        f"{whole.expected:.1%}, in 95 % of cases {whole.expected_low:.1%} to {whole.expected_high:.1%})."
    )


def _number(log: float) -> str:
    """e^log, also where it is no float."""
    if log < 13:
        return f"{np.exp(log):.3g}"
    exponent = int(log / np.log(10))
    return f"{10 ** (log / np.log(10) - exponent):.1f}e{exponent}"
