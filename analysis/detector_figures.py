"""The pictures of a comparison of detectors; each function draws one `Figure`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from analysis.detector_study import ALPHA, Result
from tfp_flows.pages import bins, pictures
from tfp_flows.pages.palette import LIGHT

COLUMNS = 3
CALLED = f"p = {ALPHA:g}"  # the threshold's name


class Panel(NamedTuple):
    """The scores of one detector.

    Attributes:
      title: Of the detector.
      own: Scores of its own set.
      foreign: Scores of the foreign set.
      threshold: The score above which an image is called foreign, or None where none can be.
    """

    title: str
    own: np.ndarray
    foreign: np.ndarray
    threshold: float | None = None


def auroc_dots(groups: dict[str, list[Result]], foreign: str, goal: float | None = None) -> Figure:
    """AUROC of every detector with its interval, the largest first; see `pictures.auroc_dots`.

    Args:
      groups: dict from a run's name to its list of `detector_study.Result`.
      foreign: Name of the out-of-distribution set.
      goal: AUROC at which a thin line is drawn, or None.
    """
    colours = pictures.shades(len(groups))
    areas = [
        pictures.Area(result.candidate.title, *result.separation.auroc, colour, run)
        for colour, (run, results) in zip(colours, groups.items(), strict=True)
        for result in results
    ]
    return pictures.auroc_dots(areas, f"AUROC against {foreign}; lines: 95 % bootstrap intervals", goal)


@pictures.styled
def score_histograms(
    panels: Sequence[Panel],
    own: str,
    foreign: str,
    how: Mapping[str, pictures.Style] | None = None,
) -> Figure:
    """Histograms of the scores of both sets, a panel for each detector.

    Args:
      panels: List of `Panel`.
      own: Name of the in-distribution set.
      foreign: Name of the other.
      how: {name: `pictures.Style`}; None for one of this picture alone.
    """
    how = how or pictures.styles([own, foreign])
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(pictures.WIDTH, 1.9 * rows + 0.7), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes, panel in zip(grid, panels, strict=False):
        scores = (panel.own, panel.foreign)
        edges = _edges(scores, panel.threshold)
        for label, values in zip((own, foreign), scores, strict=True):
            shown = np.clip(values, edges[0], edges[-1])  # what lies beyond is drawn at the edge
            heights = np.histogram(shown, edges)[0] / (len(shown) * (edges[1] - edges[0]))
            axes.stairs(heights, edges, fill=True, alpha=0.45, color=how[label].color, label=label)
        if panel.threshold is not None:
            axes.axvline(panel.threshold, color=LIGHT.ink, linewidth=1, linestyle=(0, (4, 3)), label=CALLED)
        axes.set_title(panel.title, fontsize="small", pad=4)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.locator_params(axis="x", nbins=4)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3)
    figure.supxlabel("score (further right: more out of distribution)", fontsize="medium", color=LIGHT.soft)
    return figure


@pictures.styled
def score_maps(rows: Sequence[tuple[str, np.ndarray, np.ndarray]], title: str) -> Figure:
    """Images and, below each, where its score comes from.

    Args:
      rows: List of (label, images uint8 `[K, H, W, C]`, maps `[K, H, W]`).
      title: Of the picture.
    """
    count = len(rows[0][1])
    wide = pictures.WIDTH
    figure = Figure(figsize=(wide, 2 * (wide - 1.2) / count * len(rows) + 0.8), layout="constrained")
    grid = figure.subplots(2 * len(rows), count, squeeze=False)
    reach = np.quantile(np.abs(np.concatenate([maps.ravel() for _, _, maps in rows])), 0.995)
    for i, (label, images, maps) in enumerate(rows):
        for j in range(count):
            picture, heat = grid[2 * i, j], grid[2 * i + 1, j]
            picture.imshow(images[j].squeeze(), cmap="gray", vmin=0, vmax=255)
            drawn = heat.imshow(maps[j], cmap="RdBu_r", vmin=-reach, vmax=reach)
            for axes in (picture, heat):
                axes.set_xticks([])
                axes.set_yticks([])
                axes.spines[:].set_visible(False)
        grid[2 * i, 0].set_ylabel(label, fontsize="small")
    bar = figure.colorbar(drawn, ax=grid.ravel().tolist(), shrink=0.6)
    bar.set_label("nats (red: out of distribution)", fontsize="small")
    bar.outline.set_visible(False)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _edges(scores: Sequence[np.ndarray], threshold: float | None) -> np.ndarray:
    values = np.concatenate(scores)
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.002, 0.995]) if len(values) else (0.0, 1.0)
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    margin = 0.05 * (high - low) + 1e-9
    return bins.edges([v[np.isfinite(v)] for v in scores], low - margin, high + margin)
