"""AUROC of several scores or sets, the largest first."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tfp_flows.pages.drawing import SMALL, WIDTH, styled
from tfp_flows.pages.palette import LIGHT

CHANCE = 0.5


class Area(NamedTuple):
    """An AUROC.

    Attributes:
      label: What it is of.
      value: In [0, 1].
      low: Lower end of its interval, or None.
      high: Upper end, or None.
      color: "#rrggbb".
      group: What areas of this colour have in common, or "".
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    color: str = LIGHT.own
    group: str = ""


@styled
def auroc_dots(areas: Sequence[Area], xlabel: str, goal: float | None = None) -> Figure:
    """A dot with its interval and its value for each area, sorted, beside a line at chance.

    Args:
      areas: List of `Area`, in any order.
      xlabel: What the numbers say.
      goal: AUROC at which another line stands, or None.
    """
    areas = sorted(areas, key=lambda area: -area.value)
    groups = {area.group: area.color for area in areas if area.group}
    tall = 1.1 + 0.27 * len(areas) + 0.25 * (len(groups) > 1)
    figure = Figure(figsize=(WIDTH, tall), layout="constrained")
    axes = figure.add_subplot()
    for at, name in ((CHANCE, "chance"), (goal, f"{goal}")):
        if at is not None:
            axes.axvline(at, color=LIGHT.soft, linewidth=0.8, linestyle="-" if at == CHANCE else (0, (4, 3)))
            axes.annotate(
                name,
                (at, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=SMALL,
                color=LIGHT.soft,
            )
    for row, area in enumerate(areas):
        low, high = (area.value if end is None else end for end in (area.low, area.high))
        axes.plot([-1, low], [row, row], color=LIGHT.line, linewidth=0.6)
        axes.plot([low, high], [row, row], color=area.color, linewidth=2, solid_capstyle="round")
        axes.plot(area.value, row, "o", color=area.color, markersize=6)
        axes.annotate(
            f"{area.value:.3f}",
            (max(high, area.value), row),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
        )
    axes.set_yticks(range(len(areas)), [area.label for area in areas], color=LIGHT.ink)
    axes.set_ylim(len(areas) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(xlabel)
    if len(groups) > 1:
        dots = [Line2D([], [], color=colour, marker="o", linewidth=2) for colour in groups.values()]
        figure.legend(dots, list(groups), loc="outside upper left", ncols=3)
    return figure
