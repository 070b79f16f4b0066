"""Names of histograms above their peaks, in place of a legend."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from tfp_flows.pages import palette
from tfp_flows.pages.bins import beyond
from tfp_flows.pages.drawing import SMALL, WIDTH, Style
from tfp_flows.pages.palette import LIGHT

LETTER = 0.6 * SMALL / 72  # inches, about


def name_peaks(
    axes: Axes,
    sets: Mapping[str, np.ndarray],
    heights: Mapping[str, np.ndarray],
    bins: np.ndarray,
    how: Mapping[str, Style],
) -> None:
    """Writes each set's name and mean above its peak, clear of all histograms and of other names."""
    low, high = bins[0], bins[-1]
    top = max(h.max() for h in heights.values()) or 1.0
    line = 0.075 * top  # of text
    skyline = np.max(list(heights.values()), axis=0)
    placed: list[tuple[float, float, float]] = []
    for label in sorted(sets, key=lambda one: heights[one].max()):
        side = beyond(sets[label], bins)
        arrows = {0: "", 1: " →", -1: "← "}
        words = f"{label}: {number(sets[label].mean())}" + " (off the scale)" * bool(side)
        words = arrows[side] + words if side < 0 else words + arrows[side]
        half = len(words) * LETTER / (WIDTH - 0.4) * (high - low) / 2
        at = bins[heights[label].argmax()] + (bins[1] - bins[0]) / 2
        if side or not heights[label].any():
            at = (low, np.median(sets[label]), high)[side + 1]
        middle = float(np.clip(at, low + half, max(high - half, low + half)))
        under = skyline[(bins[1:] > middle - half) & (bins[:-1] < middle + half)]
        y = (under.max() if len(under) else 0.0) + 0.3 * line
        while any(abs(middle - m) < half + h and abs(y - other) < line for m, other, h in placed):
            y += 0.2 * line
        placed.append((middle, y, half))
        colour = palette.words(how[label].color)
        box = {"facecolor": LIGHT.ground, "alpha": 0.85, "linewidth": 0, "pad": 1}
        axes.text(middle, y, words, color=colour, ha="center", va="bottom", fontsize=SMALL, bbox=box)
    axes.set_ylim(0, max(1.08 * top, max(y for _, y, _ in placed) + 1.3 * line))


def number(value: float) -> str:
    """With a minus sign, which is longer than a hyphen."""
    return f"{value:.2f}".replace("-", "−")
