"""What all figures have in common: their type, their lines, and how each set is drawn."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cycler import cycler
from matplotlib import colormaps, rc_context
from matplotlib.colors import to_hex

from tfp_flows.pages import palette
from tfp_flows.pages.palette import LIGHT

COLOURS = palette.ON_LIGHT
LINES = ("-", "--", ":")  # where there are more sets than colours
WIDTH = 8.5  # inches: 816 dots of a page, whose column is a little wider
SMALL = 9.0  # points, of labels at marks

LOOK: dict[Any, Any] = {
    "font.size": 10,
    "figure.titlesize": 11,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlecolor": LIGHT.ink,
    "axes.titlepad": 10,
    "axes.labelcolor": LIGHT.soft,
    "axes.edgecolor": LIGHT.line,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLOURS),
    "text.color": LIGHT.ink,
    "xtick.color": LIGHT.line,
    "ytick.color": LIGHT.line,
    "xtick.labelcolor": LIGHT.soft,
    "ytick.labelcolor": LIGHT.soft,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "grid.color": LIGHT.line,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "figure.facecolor": LIGHT.ground,
    "axes.facecolor": "none",
    "savefig.facecolor": "auto",
}
styled = rc_context(LOOK)  # a decorator of functions that make figures


class Style(NamedTuple):
    """How a set is drawn.

    Attributes:
      color: Of lines and areas.
      linestyle: Of lines.
      filled: Whether its histogram is an area; else it is an outline.
    """

    color: str
    linestyle: str = "-"
    filled: bool = True

    @property
    def line(self) -> dict[str, Any]:
        """Of a line, as matplotlib takes it."""
        return {"color": self.color, "linestyle": self.linestyle}


def styles(labels: Iterable[str], train: Mapping[str, str] | None = None) -> dict[str, Style]:
    """The style of each set, for all pictures that show some of them.

    Args:
      labels: The sets, the model's own test images first.
      train: {label of training images: that of test images of the same set}: they have a paler tone of its
        colour, and are drawn as outlines.

    Returns:
      {label: `Style`}.
    """
    train = train or {}
    found: dict[str, Style] = {}
    for i, label in enumerate(dict.fromkeys(label for label in labels if label not in train)):
        found[label] = Style(COLOURS[i % len(COLOURS)], LINES[i // len(COLOURS) % len(LINES)])
    for label, test in train.items():
        found[label] = Style(palette.tone(found[test].color), found[test].linestyle, filled=False)
    return found


def shades(count: int) -> list[str]:
    """Colours of things that are no sets, and have none of theirs: runs, or estimates."""
    places = [0.1 + 0.65 * i / max(count - 1, 1) for i in range(count)]  # without the palest end
    return [to_hex(colour) for colour in colormaps["viridis"](places)]
