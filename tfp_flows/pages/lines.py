"""Names of lines where they end, in place of a legend."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from tfp_flows.pages import palette
from tfp_flows.pages.drawing import SMALL, Style

OFF = " (off the scale)"
APART = 1.35  # of a label's height


def name_ends(
    axes: Axes, ends: Mapping[str, float], how: Mapping[str, Style], texts: Mapping[str, str] | None = None
) -> None:
    """Writes names at the right of a picture, as high as the lines end, or so near that none hides another.

    Args:
      axes: With its limits as they will be; linear upwards.
      ends: {name: y where its line ends}.
      how: {name: `Style`}.
      texts: {name: what is written}; None for the names.
    """
    if not ends:
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    figure = axes.get_figure()
    assert figure is not None
    inches = axes.bbox.height / figure.get_dpi()
    apart = APART * SMALL / 72 / inches
    names = sorted(ends, key=lambda name: ends[name])
    heights = [float(np.clip((ends[name] - low) / (high - low), 0.0, 1.0)) for name in names]
    beyond = {name: OFF for name in names if not low <= ends[name] <= high}
    places = spread(heights, apart)
    for name, place in zip(names, places, strict=True):
        axes.annotate(
            (texts or {}).get(name, name) + beyond.get(name, ""),
            (1, place),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=palette.words(how[name].color),
        )


def spread(places: list[float], apart: float) -> list[float]:
    """Ascending places, moved as little as can be until each is `apart` from the next: least squares.

    Places that are too near form a group around their mean, and so do groups that then are.

    Args:
      places: In ascending order.
      apart: The least distance.
    """
    groups: list[list[float]] = []  # each place less what its number in the row already moves it up
    for number, place in enumerate(places):
        groups.append([place - number * apart])
        while len(groups) > 1 and np.mean(groups[-2]) > np.mean(groups[-1]):
            last = groups.pop()
            groups[-1] += last
    bases = [float(np.mean(group)) for group in groups for _ in group]
    return [base + number * apart for number, base in enumerate(bases)]
