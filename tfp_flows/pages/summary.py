"""An evaluation in one figure: of each set some images and its likelihoods, and what the model draws."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfp_flows.pages import bins, histograms
from tfp_flows.pages.drawing import SMALL, WIDTH, Style, styled
from tfp_flows.pages.grids import grid
from tfp_flows.pages.palette import LIGHT, words

SHOWN, DRAWN = 6, 16  # images of a set, and of the model
ROW, ENDS = 0.92, 0.75  # inches of a set, and of what is above and below


class SetShown(NamedTuple):
    """A set in the figure.

    Attributes:
      label: What it is called.
      images: Some of them, uint8 `[n, H, W, C]`.
      bits: bits/dim of all of them, `[N]`.
      remark: What stands at its right end; "" for nothing.
    """

    label: str
    images: np.ndarray
    bits: np.ndarray
    remark: str = ""


@styled
def summary_figure(
    sets: Sequence[SetShown], how: Mapping[str, Style], samples: np.ndarray | None = None, title: str = ""
) -> Figure:
    """A row for each set, all over the same numbers, and one for the model's samples.

    Args:
      sets: The model's own test images first, whose histogram is grey behind the others.
      how: {label: `Style`}.
      samples: Images that the model drew, uint8 `[n, H, W, C]`, or None.
      title: Of the figure.
    """
    count = len(sets) + (samples is not None)
    figure = Figure(figsize=(WIDTH, ROW * count + ENDS), layout="constrained")
    places = figure.add_gridspec(count, 2, width_ratios=[1, 1.25])
    values = {each.label: each.bits for each in sets}
    all_edges = bins.edges(list(values.values()), *bins.window(list(values.values())))
    axes: list[Axes] = []
    for i, each in enumerate(sets):
        name = f"{each.label}: {each.bits.mean():.2f} bits/dim"
        _strip(
            figure.add_subplot(places[i, 0]), each.images[:SHOWN], SHOWN, name, words(how[each.label].color)
        )
        axes.append(figure.add_subplot(places[i, 1], sharex=axes[0] if axes else None))
        if each.remark:
            axes[i].text(1.02, 0.5, each.remark, transform=axes[i].transAxes, va="center", fontsize=SMALL)
        axes[i].tick_params(labelbottom=i == len(sets) - 1)
    column = histograms.Column(values, "bits per dimension (further left: the model finds it likelier)")
    histograms.stack(axes, column, [[each.label] for each in sets], all_edges, how)
    axes[-1].set_xlabel(column.xlabel)
    axes[-1].set_xlim(all_edges[0], all_edges[-1])
    if samples is not None:
        place = figure.add_subplot(places[len(sets), :])
        _strip(place, samples[:DRAWN], DRAWN, "drawn by the model", LIGHT.ink)
    if title:
        figure.suptitle(title, x=0.01, ha="left", color=LIGHT.ink)
    return figure


def _strip(axes: Axes, images: np.ndarray, columns: int, title: str, color: str) -> None:
    """Images side by side, under a title."""
    axes.imshow(grid(images, columns), interpolation="nearest")
    axes.set_anchor("W")
    axes.set_axis_off()
    axes.set_title(title, fontsize=SMALL, color=color, pad=4)
