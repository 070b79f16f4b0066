"""Pictures of sets and of images, and how they are written to files."""

import os
from collections.abc import Mapping, Sequence
from typing import BinaryIO

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from tfp_flows.pages import histograms
from tfp_flows.pages.areas import Area as Area
from tfp_flows.pages.areas import auroc_dots as auroc_dots
from tfp_flows.pages.bins import window as window
from tfp_flows.pages.drawing import COLOURS as COLOURS
from tfp_flows.pages.drawing import WIDTH as WIDTH
from tfp_flows.pages.drawing import Style as Style
from tfp_flows.pages.drawing import shades as shades
from tfp_flows.pages.drawing import styled as styled
from tfp_flows.pages.drawing import styles as styles
from tfp_flows.pages.grids import grid
from tfp_flows.pages.histograms import Column as Column
from tfp_flows.pages.histograms import Threshold as Threshold
from tfp_flows.pages.summary import SHOWN as SHOWN
from tfp_flows.pages.summary import SetShown as SetShown
from tfp_flows.pages.summary import summary_figure as summary_figure

SHARP = 192  # dots per inch: two for each of a page


def save(figure: Figure, target: str | os.PathLike | BinaryIO, dpi: int = SHARP) -> None:
    """Writes a figure as PNG, with its words as they are: a `$` in a file's name starts no formula.

    Args:
      figure: matplotlib `Figure`.
      target: Path or binary file.
      dpi: Dots per inch.
    """
    take_words_as_they_are(figure)
    figure.savefig(target, format="png", dpi=dpi)


def take_words_as_they_are(figure: Figure) -> None:
    """Has no text of a figure be a formula."""
    for text in figure.findobj(Text):
        if "$" in text.get_text():  # the numbers on an axis are formulas too, but are not there yet
            text.set_parse_math(False)


def likelihood_histograms(
    path: str | os.PathLike | BinaryIO,
    bits_per_dim: Mapping[str, np.ndarray],
    title: str,
    how: Mapping[str, Style] | None = None,
    threshold: Threshold | None = None,
) -> None:
    """Writes `likelihood_figure` as PNG.

    Args:
      path: PNG file to write.
      bits_per_dim: Dict from label to values `[N]`, the model's own test set first.
      title: Of the picture.
      how: From `styles`; None for those of these labels alone.
      threshold: A line across the picture, or None.
    """
    save(likelihood_figure(bits_per_dim, title, how, threshold), path)


def likelihood_figure(
    bits_per_dim: Mapping[str, np.ndarray],
    title: str = "",
    how: Mapping[str, Style] | None = None,
    threshold: Threshold | None = None,
) -> Figure:
    """Histograms of likelihoods, one for each data set; see `histograms.figure`.

    Args:
      bits_per_dim: Dict from label to values `[N]`, the model's own test set first.
      title: Of the picture.
      how: From `styles`; None for those of these labels alone.
      threshold: A line across the picture, or None.
    """
    said = "bits per dimension (further left: the model finds it likelier)"
    column = Column(bits_per_dim, said, threshold=threshold)
    return histograms.figure([column], how or styles(bits_per_dim), title)


def score_figure(
    scores: Mapping[str, np.ndarray],
    xlabel: str = "score (further right: more foreign)",
    how: Mapping[str, Style] | None = None,
    threshold: Threshold | None = None,
    title: str = "",
) -> Figure:
    """Histograms of a detector's scores, one for each data set; see `histograms.figure`.

    Args:
      scores: Dict from label to scores `[N]`, the detector's own test set first.
      xlabel: What the numbers are.
      how: From `styles`; None for those of these labels alone.
      threshold: Where images are called foreign, or None.
      title: Of the picture.
    """
    column = Column(scores, xlabel, threshold=threshold)
    return histograms.figure([column], how or styles(scores), title)


def image_grid(path: str | os.PathLike | BinaryIO, images: np.ndarray, title: str = "") -> None:
    """Writes `image_figure` as PNG.

    Args:
      path: PNG file to write.
      images: uint8 `[N, H, W, C]`, C 1 or 3; other numbers of channels show their mean.
      title: Of the picture.
    """
    save(image_figure(images, title), path)


def image_rows(
    path: str | os.PathLike | BinaryIO, images: np.ndarray, names: Sequence[str], title: str = ""
) -> None:
    """Writes a grid of images as PNG whose rows have names.

    Args:
      path: PNG file to write.
      images: uint8 `[rows, columns, H, W, C]`.
      names: Of the rows.
      title: Of the picture.
    """
    rows, columns, height, *_ = images.shape
    figure = image_figure(images.reshape(-1, *images.shape[2:]), title, columns)
    (axes,) = figure.axes
    gap = max(1, round(0.04 * images.shape[3]))
    figure.set_size_inches(6.0, 6.0 * rows / columns * height / images.shape[3] + 0.4 * bool(title))
    for row, name in enumerate(names):
        middle = row * (height + gap) + height / 2 - 0.5
        axes.text(-gap - 0.5, middle, name, ha="right", va="center", fontsize="small")
    save(figure, path)


@styled
def image_figure(images: np.ndarray, title: str = "", columns: int | None = None) -> Figure:
    """A grid of images.

    Args:
      images: uint8 `[N, H, W, C]`, C 1 or 3; other numbers of channels show their mean.
      title: Of the picture.
      columns: Images side by side; None for a grid that is about square.
    """
    columns = columns or int(np.ceil(np.sqrt(len(images))))
    shown = grid(images, columns)
    wide = WIDTH if columns > 1.5 * np.ceil(len(images) / columns) else 6.0
    tall = wide * shown.shape[0] / shown.shape[1] + 0.4 * bool(title)
    figure = Figure(figsize=(wide, tall), layout=ConstrainedLayoutEngine(w_pad=0, h_pad=0))
    axes = figure.add_subplot()
    axes.imshow(shown, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize="medium")
    return figure
