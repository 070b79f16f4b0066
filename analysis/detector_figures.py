"""The pictures of a comparison of detectors; each function draws one `Figure`."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis.detector_study import Result
from tfp_flows.pages import pictures

BINS = 60
COLUMNS = 3


def auroc_dots(groups: dict[str, list[Result]], foreign: str, goal: float | None = None) -> Figure:
    """AUROC of every detector with its interval, one line each.

    Args:
      groups: dict from a run's name to its list of `detector_study.Result`.
      foreign: Name of the out-of-distribution set.
      goal: AUROC at which a thin line is drawn, or None.
    """
    count = sum(map(len, groups.values()))
    figure = Figure(figsize=(8.5, 1.3 + 0.27 * count), layout="constrained")
    axes = figure.add_subplot()
    position, ticks = 0, []
    for colour, (run, results) in zip(pictures.shades(len(groups)), groups.items(), strict=True):
        for j, result in enumerate(results):
            value, low, high = result.separation.auroc
            reach = None if low is None or high is None else [[value - low], [high - value]]
            axes.errorbar(
                value,
                position,
                xerr=reach,
                fmt="o",
                markersize=5,
                capsize=2,
                color=colour,
                label=run if j == 0 else None,
            )
            ticks.append(result.candidate.title)
            position += 1
    axes.set_yticks(range(count), ticks, fontsize="small")
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    axes.axvline(0.5, color="0.6", linewidth=0.8)
    if goal:
        axes.axvline(goal, color="0.6", linewidth=0.8, linestyle=":")
    axes.set_xlabel(f"AUROC against {foreign} (0.5 is chance; bars: 95 % bootstrap intervals)")
    axes.legend(fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def score_histograms(
    panels: Sequence[tuple[str, np.ndarray, np.ndarray]],
    own: str,
    foreign: str,
    how: Mapping[str, pictures.Style] | None = None,
) -> Figure:
    """Histograms of the scores of both sets, a panel for each detector.

    Args:
      panels: List of (title, scores of own, scores of the foreign set).
      own: Name of the in-distribution set.
      foreign: Name of the other.
      how: {name: `pictures.Style`}; None for one of this picture alone.
    """
    how = how or pictures.styles([own, foreign])
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(10.5, 2.1 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, *scores) in zip(grid, panels, strict=False):
        edges = _edges(scores)
        for label, values in zip((own, foreign), scores, strict=True):
            shown = np.clip(values, edges[0], edges[-1])  # what lies beyond is drawn at the edge
            axes.hist(shown, edges, alpha=0.45, density=True, color=how[label].color, label=label)
        axes.set_title(title, fontsize="small")
        axes.set_yticks([])
        axes.tick_params(labelsize="x-small")
    grid[0].legend(fontsize="x-small")
    figure.supxlabel("score (further right: more out of distribution)", fontsize="small")
    return figure


def score_maps(rows: Sequence[tuple[str, np.ndarray, np.ndarray]], title: str) -> Figure:
    """Images and, below each, where its score comes from.

    Args:
      rows: List of (label, images uint8 `[K, H, W, C]`, maps `[K, H, W]`).
      title: Of the picture.
    """
    count = len(rows[0][1])
    figure = Figure(figsize=(1.05 * count + 0.6, 2.2 * len(rows) + 0.8), layout="constrained")
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
        grid[2 * i, 0].set_ylabel(label, fontsize="small")
    bar = figure.colorbar(drawn, ax=grid.ravel().tolist(), shrink=0.6)
    bar.set_label("nats (red: out of distribution)", fontsize="small")
    figure.suptitle(title, fontsize="medium")
    return figure


def _edges(scores: Sequence[np.ndarray]) -> np.ndarray:
    values = np.concatenate(scores)
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.002, 0.995]) if len(values) else (0.0, 1.0)
    margin = 0.05 * (high - low) + 1e-9
    return np.linspace(low - margin, high + margin, BINS)
