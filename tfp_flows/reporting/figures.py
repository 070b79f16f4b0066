"""The pictures of a run's report; each function draws one `Figure`."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from tfp_flows.pages import pictures

How = Mapping[str, pictures.Style]


def terms(found: Mapping[str, Mapping[str, np.ndarray]], how: How) -> Figure:
    """Histograms of each term, one picture for each, the sets over each other.

    Args:
      found: {label: {term: bits/dim `[N]`}}, the model's own data first.
      how: {label: `pictures.Style`}.
    """
    titles = list(next(iter(found.values())))
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    grid = figure.subplots(1, len(titles))
    for axes, title in zip(grid, titles, strict=True):
        pictures.histograms(axes, {label: each[title] for label, each in found.items()}, how)
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel("bits/dim (further right: likelier)")
    return figure


def scores(found: Mapping[str, np.ndarray], limit: float, alpha: float, how: How) -> Figure:
    """Histograms of a detector's scores, with the threshold of a level.

    Args:
      found: {label: scores `[N]`}, the model's own data first.
      limit: The threshold; infinity for none.
      alpha: Its level.
      how: {label: `pictures.Style`}.
    """
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.add_subplot()
    pictures.histograms(axes, found, how)
    if np.isfinite(limit):
        pictures.threshold(axes, limit, f"p = {alpha:g}")
    axes.set_xlabel("score (further right: stranger)")
    return figure
