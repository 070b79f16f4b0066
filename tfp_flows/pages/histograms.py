"""Histograms of sets: over one another where they are few, else below one another over the same numbers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure, SubFigure

from tfp_flows.pages.bins import beyond, edges, window
from tfp_flows.pages.drawing import SMALL, WIDTH, Style, styled
from tfp_flows.pages.palette import LIGHT
from tfp_flows.pages.peaks import name_peaks, number

TOGETHER = 4  # sets that one pair of axes shows; training images come with their set
FLATTEST = 4.0  # how much lower than the highest peak the first one's may be
HEIGHT, ROW_HEIGHT = 3.6, 0.62  # inches
AREA = 0.3  # opacity


class Threshold(NamedTuple):
    """A line across a histogram.

    Attributes:
      value: Where it stands.
      meaning: What it says, such as "p = 0.05".
    """

    value: float
    meaning: str


class Column(NamedTuple):
    """What one column of a figure shows.

    Attributes:
      values: {set: numbers `[N]`}, the model's own data first.
      xlabel: What the numbers are.
      title: Of the column.
      threshold: `Threshold`, or None.
    """

    values: Mapping[str, np.ndarray]
    xlabel: str
    title: str = ""
    threshold: Threshold | None = None


@styled
def figure(columns: Sequence[Column], how: Mapping[str, Style], title: str = "") -> Figure:
    """Histograms of the same sets in one or several respects, side by side.

    Up to four sets stand over one another, named at their peaks; more of them below one another, each with
    the first one's shape in grey behind it and a mark at its mean, every histogram as high as its own peak.
    A set whose images lie elsewhere is said to be off the scale.

    Args:
      columns: Of each respect a `Column`.
      how: {set: `Style`}; one that is not filled belongs to the set before it.
      title: Of the figure.
    """
    found = Figure(figsize=(WIDTH, height(columns, how)), layout="constrained")
    fill(found, columns, how, title)
    return found


def height(columns: Sequence[Column], how: Mapping[str, Style]) -> float:
    """Inches that `fill` needs."""
    groups = _groups(columns[0].values, how)
    return HEIGHT if len(groups) <= TOGETHER else ROW_HEIGHT * len(groups) + 1.1


def fill(
    place: Figure | SubFigure, columns: Sequence[Column], how: Mapping[str, Style], title: str = ""
) -> None:
    """Draws the histograms of `figure` into a figure or a part of one; call it within `drawing.styled`."""
    groups = _groups(columns[0].values, how)
    stacked = len(groups) > TOGETHER
    grid = place.subplots(len(groups) if stacked else 1, len(columns), sharex="col", squeeze=False)
    for column, axes in zip(columns, grid.T, strict=True):
        low, high = window(list(column.values.values()))
        limit = column.threshold  # there is none to draw where nothing can be called foreign
        limit = limit if limit and np.isfinite(limit.value) else None
        if limit:
            margin = 0.03 * (high - low)
            low, high = min(low, limit.value - margin), max(high, limit.value + margin)
        bins = edges(list(column.values.values()), low, high)
        if stacked:
            stack(axes, column, groups, bins, how)
        else:
            _together(axes[0], column, bins, how, named=len(columns) == 1)
        if limit:
            _line(axes, limit)
        axes[0].set_title(column.title, fontsize=10)
        axes[-1].set_xlabel(column.xlabel)
        axes[-1].set_xlim(low, high)
        if len(columns) > 1:
            axes[-1].locator_params(axis="x", nbins=4)
    if stacked:
        for axis, group in zip(grid[:, 0], groups, strict=True):
            axis.set_ylabel(_row_name(columns, group), rotation=0, ha="right", va="center", color=LIGHT.ink)
            axis.yaxis.label.set_fontsize(SMALL)
    elif len(columns) > 1:
        handles, labels = grid[0, 0].get_legend_handles_labels()
        place.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    if title:
        place.suptitle(title, x=0.01, ha="left", color=LIGHT.ink)


def _groups(labels: Mapping[str, object], how: Mapping[str, Style]) -> list[list[str]]:
    """The sets, each with its training images."""
    found: list[list[str]] = []
    for label in labels:
        if how[label].filled or not found:
            found.append([label])
        else:
            found[-1].append(label)
    return found


def _row_name(columns: Sequence[Column], group: Sequence[str]) -> str:
    lines = [group[0]]
    if len(columns) == 1:
        lines.append(f"mean {number(columns[0].values[group[0]].mean())}")
    return "\n".join([*lines, *(f"outline: {train}" for train in group[1:])])


def _together(axes: Axes, column: Column, bins: np.ndarray, how: Mapping[str, Style], named: bool) -> None:
    """All sets over one another."""
    heights = [_heights(values, bins).max() for values in column.values.values()]
    peak = 1.0 if max(heights) > FLATTEST * heights[0] > 0 else None
    tops = {}
    for label, values in column.values.items():
        text = f"{label}: {values.mean():.2f}" if named else label
        tops[label] = _one(axes, values, bins, how[label], text, peak)
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    axes.set_ylabel("density, each to its own peak" if peak else "density")
    axes.spines["left"].set_visible(False)
    if named:
        name_peaks(axes, column.values, tops, bins, how)
    elif all(np.ptp(v) < 1e-5 * (1 + abs(v[0])) for v in column.values.values()):
        axes.text(0.48, 0.5, "the same for\nevery image", transform=axes.transAxes, ha="right")
        axes.locator_params(axis="x", nbins=4)


def stack(
    column_axes: Sequence[Axes],
    column: Column,
    groups: Sequence[Sequence[str]],
    bins: np.ndarray,
    how: Mapping[str, Style],
) -> None:
    """Draws one set below the other, the first one's shape behind each; call it within `drawing.styled`.

    Args:
      column_axes: Of each group.
      column: What is shown.
      groups: Labels, a set and its training images.
      bins: Edges of the bins.
      how: {label: `Style`}.
    """
    own = column.values[groups[0][0]]
    ghost = Style(LIGHT.line)
    for i, (axes, group) in enumerate(zip(column_axes, groups, strict=True)):
        if i:
            _one(axes, own, bins, ghost, None, peak=1.0, area=0.8)
        for label in group:
            _one(axes, column.values[label], bins, how[label], label, peak=1.0)
        if not beyond(column.values[group[0]], bins):
            axes.plot(column.values[group[0]].mean(), 0.06, "v", color=how[group[0]].color, markersize=5)
        axes.set_ylim(0, 1.08)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        where = beyond(column.values[group[0]], bins)
        if where:
            right = where > 0
            text = f"off the scale, at {number(np.median(column.values[group[0]]))}"
            axes.text(
                0.99 if right else 0.01,
                0.55,
                f"{text} →" if right else f"← {text}",
                transform=axes.transAxes,
                ha="right" if right else "left",
                va="center",
                fontsize=SMALL,
                color=LIGHT.soft,
            )


def _one(
    axes: Axes,
    values: np.ndarray,
    bins: np.ndarray,
    style: Style,
    label: str | None,
    peak: float | None,
    area: float = AREA,
) -> np.ndarray:
    """Draws one set; returns the heights of its bins.

    With a `peak` the highest bin is so high; else heights are densities. What hardly varies is a line.
    """
    heights = _heights(values, bins)
    off = beyond(values, bins)
    text = "_" if label is None else f"{label}{' (off the scale)' if off else ''}"
    if not heights.any():
        if off:
            axes.plot([], label=text, **style.line)
        else:
            axes.axvline(np.median(values), linewidth=2, label=text, **style.line)
        return heights
    if peak:
        heights = heights / heights.max() * peak
    first, last = heights.nonzero()[0][[0, -1]]
    axes.stairs(
        heights[first : last + 1],
        bins[first : last + 2],
        fill=style.filled,
        facecolor=to_rgba(style.color, area if style.filled else 0),
        edgecolor=style.color,
        linestyle=style.linestyle,
        linewidth=1.4 if label is not None else 0,
        label=text,
    )
    return heights


def _heights(values: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """The share of images per unit in each bin; 0 where they hardly vary, or lie elsewhere."""
    width = bins[1] - bins[0]
    if np.ptp(values) < width / 2:
        return np.zeros(len(bins) - 1)
    return np.histogram(values, bins)[0] / (len(values) * width)


def _line(column_axes: Sequence[Axes], threshold: Threshold) -> None:
    for axes in column_axes:
        axes.axvline(threshold.value, color=LIGHT.ink, linewidth=1, linestyle=(0, (4, 3)))
    column_axes[0].annotate(
        threshold.meaning,
        (threshold.value, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=SMALL,
    )
