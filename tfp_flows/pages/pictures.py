"""Pictures: the only module of the toolkit that imports matplotlib."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from tfp_flows.pages import palette

COLOURS = palette.ON_LIGHT
LINES = ("-", "--", ":")  # where there are more sets than colours


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
      train: {label of training images: that of test images of the same set}: they have a lighter tone of its
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
    return [to_hex(colour) for colour in colormaps["viridis"](np.linspace(0.1, 0.9, count))]


def save(figure: Figure, target: str | os.PathLike | BinaryIO, dpi: int = 130) -> None:
    """Writes a figure as PNG, with its words as they are: a `$` in a file's name starts no formula.

    Args:
      figure: matplotlib `Figure`.
      target: Path or binary file.
      dpi: Dots per inch.
    """
    for text in figure.findobj(Text):
        if "$" in text.get_text():  # the numbers on an axis are formulas too, but are not there yet
            text.set_parse_math(False)
    figure.savefig(target, format="png", dpi=dpi)


def likelihood_histograms(
    path: str | os.PathLike | BinaryIO,
    bits_per_dim: Mapping[str, np.ndarray],
    title: str,
    how: Mapping[str, Style] | None = None,
) -> None:
    """Overlaid histograms of likelihoods, one for each data set, as in the paper's figures.

    Args:
      path: PNG file to write.
      bits_per_dim: Dict from label to values `[N]`, the model's own test set first.
      title: Of the picture.
      how: From `styles`; None for those of these labels alone.
    """
    how = how or styles(bits_per_dim)
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    low, high = window(list(bits_per_dim.values()))
    edges = np.linspace(low, high, 100).tolist()
    for label, values in bits_per_dim.items():
        outside = not low < np.median(values) < high
        style = how[label]
        axes.plot([], label=f"{label}: {values.mean():.2f}{' (off the scale)' * outside}", **style.line)
        if not ((low <= values) & (values <= high)).any():
            continue
        if style.filled:
            axes.hist(values, edges, density=True, alpha=0.3, color=style.color)
        axes.hist(values, edges, density=True, histtype="step", linewidth=1.3, **style.line)
    axes.set_xlim(low, high)
    axes.set_xlabel("bits per dimension (further left: the model finds it more likely)")
    axes.set_ylabel("density")
    axes.set_title(title)
    axes.legend(fontsize="small", title="data set: mean")
    save(figure, path)


def window(sets: Sequence[np.ndarray]) -> tuple[float, float]:
    """The range that shows the first set and all those near it: noise would squeeze the others.

    Args:
      sets: List of arrays of values.

    Returns:
      (low, high).
    """
    low, middle, high = np.quantile(sets[0], [0.01, 0.5, 0.99])
    reach = 4 * max(high - low, 0.02 * abs(middle), 1e-6)  # a constant volume has no width of its own
    near = [values for values in sets if abs(np.median(values) - middle) < reach]
    low = min(np.quantile(values, 0.001) for values in near)
    high = max(np.quantile(values, 0.999) for values in near)
    margin = 0.03 * max(high - low, 0.1 * abs(middle), 1e-6)
    return low - margin, high + margin


def image_grid(path: str | os.PathLike | BinaryIO, images: np.ndarray, title: str = "") -> None:
    """A square-ish grid of images.

    Args:
      path: PNG file to write.
      images: uint8 `[N, H, W, C]`, C 1 or 3; other numbers of channels show their mean.
      title: Of the picture.
    """
    count, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = int(np.ceil(count / columns))
    if channels not in (1, 3):
        images = images.mean(axis=-1, keepdims=True).astype(np.uint8)
    gap = 1
    grid = np.full(
        [rows * (height + gap) - gap, columns * (width + gap) - gap, images.shape[-1]], 255, np.uint8
    )
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        top, left = row * (height + gap), column * (width + gap)
        grid[top : top + height, left : left + width] = image
    figure = Figure(figsize=(6, 6 * grid.shape[0] / grid.shape[1] + 0.4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(grid.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize="medium")
    save(figure, path)
