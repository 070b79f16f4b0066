"""Figures of a monitor: p-values, the wealth over time, the share called foreign over time."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfp_flows.monitoring.histogram import Bin
from tfp_flows.monitoring.monitor import Alarm
from tfp_flows.monitoring.two_samples import Comparison
from tfp_flows.pages import pictures

OWN, FOREIGN, GREY = pictures.COLOURS[0], pictures.COLOURS[1], "#888888"
_SIZE = (7.5, 3.4)
MOST_GROUPS = 60  # that are drawn: the newest
_LABELS = 8  # along an axis


def p_values(bins: Sequence[Bin]) -> Figure:
    """Histogram of p-values, with the range in which each bin is to be expected."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    edges = [bins[0].low, *[found.high for found in bins]]
    low, high = ([getattr(found, name) for found in bins] for name in ("expected_low", "expected_high"))
    axes.stairs(
        high, edges, baseline=low, fill=True, color=GREY, alpha=0.35, label="expected, in 95 % of cases"
    )
    density = [found.density for found in bins]
    axes.stairs(density, edges, fill=True, color=OWN, alpha=0.25)
    axes.stairs(density, edges, color=OWN, label="images", linewidth=1.6)
    axes.axhline(1.0, color=GREY, linewidth=0.8)
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("p-value (small: foreign)")
    axes.set_ylabel("density")
    _legend_above(axes)
    return figure


def wealth(points: Sequence[tuple[int, float]], level: float, alarm: Alarm | None) -> Figure:
    """log10 of the wealth after each row, with the line at which there is an alarm.

    Args:
      points: (row, ln M), in order.
      level: The line is at log10(1 / level).
      alarm: Marked, or None.
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    rows, logs = np.array([(0, 0.0), *points]).T
    axes.plot(rows, logs / math.log(10), color=OWN, linewidth=1.4)
    limit = -math.log10(level)
    axes.axhline(limit, color=FOREIGN, linewidth=1.2, linestyle="--")
    axes.annotate(
        f"alarm at {1 / level:g}",
        (0, limit),
        xytext=(4, 4),
        textcoords="offset points",
        color=FOREIGN,
        fontsize="small",
    )
    if alarm is not None:
        height = alarm.log_wealth / math.log(10)
        axes.plot([alarm.row], [height], "o", color=FOREIGN)
        axes.annotate(
            f"row {alarm.row:,}",
            (alarm.row, height),
            xytext=(-6, 6),
            textcoords="offset points",
            ha="right",
            color=FOREIGN,
            fontsize="small",
        )
    axes.set_xlim(0, max(1, rows[-1]))
    axes.set_ylim(top=max(limit, (logs / math.log(10)).max()) * 1.08 + 0.3)
    axes.set_xlabel("row")
    axes.set_ylabel("log10 of the wealth")
    return figure


def shares(comparisons: dict[str, Comparison], odd: Sequence[str]) -> Figure:
    """The share called foreign in each group with its 95 % interval, and where it is to be expected.

    Args:
      comparisons: By label, in order; the newest `MOST_GROUPS` are drawn.
      odd: Labels of those that are more than chance.
    """
    shown = dict(list(comparisons.items())[-MOST_GROUPS:])
    found = list(shown.values())
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(found))
    edges = np.arange(len(found) + 1) - 0.5
    floor, ceiling = (
        [100 * getattr(each, name) for each in found] for name in ("expected_low", "expected_high")
    )
    axes.stairs(
        ceiling, edges, baseline=floor, fill=True, color=GREY, alpha=0.35, label="expected, in 95 % of cases"
    )
    for usual, color, label in ((True, OWN, "as expected"), (False, FOREIGN, "more than chance")):
        chosen = [i for i, name in enumerate(shown) if (name not in odd) == usual]
        if not chosen:
            continue
        share, low, high = (
            np.array([100 * getattr(found[i], name) for i in chosen]) for name in ("share", "low", "high")
        )
        errors = [share - low, high - share]
        axes.errorbar(
            places[chosen], share, errors, fmt="o", markersize=4, color=color, linewidth=1.2, label=label
        )
    step = math.ceil(len(found) / _LABELS)
    axes.set_xticks(places[::step], list(shown)[::step], rotation=20, ha="right", fontsize="small")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("called foreign, %")
    _legend_above(axes)
    return figure


def _legend_above(axes: Axes) -> None:
    axes.legend(fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
