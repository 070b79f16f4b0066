"""The picture of a flow over points of a plane."""

import pathlib

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from tensorflow_probability import distributions as tfd

from tfp_flows.pages.palette import LIGHT

SIDE, DOTS = 160, 1_000


def draw(flow: tfd.Distribution, points: np.ndarray, path: pathlib.Path) -> None:
    """Three squares side by side: points, the flow's density, and its samples; as PNG."""
    low, high = points.min(0) - 0.4, points.max(0) + 0.4
    across, up = (np.linspace(low[i], high[i], SIDE, dtype=np.float32) for i in range(2))
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape([-1, 2])
    density = np.exp(flow.log_prob(tf.constant(grid))).reshape([SIDE, SIDE])
    figure = Figure(figsize=(8.4, 2.6), layout="constrained", dpi=80, facecolor=LIGHT.ground)
    shown = {"2,000 points": points, "the flow's density": None, "its samples": flow.sample(DOTS, seed=0)}
    for axes, (title, dots) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        if dots is None:
            axes.imshow(density, origin="lower", extent=(*across[[0, -1]], *up[[0, -1]]), cmap="Blues")
        else:
            axes.scatter(*np.asarray(dots)[:DOTS].T, s=2, color=LIGHT.own, linewidths=0)
        axes.set(title=title, xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        axes.set_xticks([])
        axes.set_yticks([])
    figure.savefig(path)
