"""The pictures of a report; each function draws one `Figure`."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.comparison import Comparison
from analysis.decomposition import ImageTerms
from analysis.moments import Moments
from analysis.study import ContrastSweep
from tfp_flows.numerics import quantization
from tfp_flows.pages import pictures

BINS = 80
How = Mapping[str, pictures.Style]


def decomposition_histograms(
    rows: Sequence[tuple[str, dict[str, ImageTerms]]], suptitle: str = "", how: How | None = None
) -> Figure:
    """Histograms of log p(z), volume and their sum, a row of three for each model.

    Args:
      rows: List of (title, {data set: `ImageTerms`}), the model's own data first.
      suptitle: Of the whole picture.
      how: {data set: `pictures.Style`}; None for one of this picture alone.
    """
    how = how or pictures.styles(name for _, terms in rows for name in terms)
    figure = Figure(figsize=(11, 3.1 * len(rows) + 0.3), layout="constrained")
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for axes, (title, terms) in zip(grid, rows, strict=True):
        terms_of = {
            "log p(z): latent under the prior": lambda t: t.log_prob_z,
            "log|det dz/dx|: volume": lambda t: t.log_det + t.dequantization,
            "log P(x): their sum": lambda t: t.log_prob,
        }
        for axis, (label, term_of) in zip(axes, terms_of.items(), strict=True):
            bits = {
                name: -quantization.bits_per_dim(term_of(t), [t.num_dimensions]) for name, t in terms.items()
            }
            _histograms(axis, bits, how)
            axis.set_title(label, fontsize="medium")
            axis.set_xlabel("bits/dim (further right: likelier)")
        axes[0].set_ylabel(title)
        axes[2].legend(fontsize="small")
    figure.suptitle(suptitle)
    return figure


def layer_profile(terms: dict[str, ImageTerms], title: str, how: How | None = None) -> Figure:
    """How the volume of each data set, less the first's, builds up from layer to layer.

    Args:
      terms: {data set: `ImageTerms`}, the model's own data first.
      title: Of the picture.
      how: As for `decomposition_histograms`.
    """
    how = how or pictures.styles(terms)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.add_subplot()
    (own, reference), *others = terms.items()
    for name, t in others:
        difference = [t.layers[k].mean() - reference.layers[k].mean() for k in reference.layers]
        axes.step(range(len(difference)), np.cumsum(difference), where="mid", label=name, **how[name].line)
    axes.axhline(0, color=how[own].color, linewidth=1, label=own)
    levels = [i for i, name in enumerate(reference.layers) if name.endswith("_squeeze")]
    for level, position in enumerate(levels):
        axes.axvline(position, color="0.8", linewidth=0.8)
        axes.annotate(f"level {level}", (position, 1), xycoords=("data", "axes fraction"), va="top")
    axes.set_xlabel("layer, from the image to the latent")
    axes.set_ylabel("sum of log|det| less that of\nthe model's own data (nats)")
    axes.set_title(title)
    axes.legend(fontsize="small")
    return figure


def moment_histograms(moments: dict[str, Moments], title: str, how: How | None = None) -> Figure:
    """Histograms over pixels and channels of means and of variances.

    Args:
      moments: {data set: `Moments`}.
      title: Of the picture.
      how: As for `decomposition_histograms`.
    """
    how = how or pictures.styles(moments)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _histograms(left, {name: m.mean.ravel() for name, m in moments.items()}, how)
    _histograms(right, {name: np.sqrt(m.variance).ravel() for name, m in moments.items()}, how)
    left.set_xlabel("mean of a pixel (grey levels)")
    right.set_xlabel("standard deviation of a pixel (grey levels)")
    left.set_ylabel("density over pixels and channels")
    right.legend(fontsize="small")
    figure.suptitle(title)
    return figure


def estimates(comparisons: dict[str, Comparison], title: str) -> Figure:
    """Measured and predicted differences of log-likelihood, a group of bars for each data set.

    Args:
      comparisons: {data set: `Comparison`}.
      title: Of the picture.
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.add_subplot()
    names = ["measured"]
    for value in comparisons.values():
        names += [name for name in value.estimates() if name not in names]
    width = 0.8 / len(names)
    colours = ["black", *pictures.shades(len(names) - 1)]
    for i, label in enumerate(names):
        for position, value in enumerate(comparisons.values()):
            height = value.measured if label == "measured" else value.estimates().get(label, np.nan)
            axes.bar(
                position + (i - (len(names) - 1) / 2) * width,
                height,
                width,
                color=colours[i],
                label=label if position == 0 else None,
            )
    axes.axhline(0, color="black", linewidth=0.8)
    names = [name.replace("$", r"\$") for name in comparisons]
    axes.set_xticks(range(len(comparisons)), names, fontsize="small")
    axes.set_yscale("symlog", linthresh=100)
    axes.set_ylabel("nats per image (symlog)\nabove 0: likelier than own data")
    axes.set_title(title)
    axes.legend(fontsize="small")
    return figure


def contrast_curves(
    sweeps: dict[str, ContrastSweep], num_dimensions: int, title: str, how: How | None = None
) -> Figure:
    """Likelihood against contrast: measured with error bars, and the prediction as a dashed curve.

    Args:
      sweeps: {data set: `ContrastSweep`}.
      num_dimensions: D, for bits per dimension.
      title: Of the picture.
      how: As for `decomposition_histograms`.
    """
    how = how or pictures.styles(sweeps)
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.add_subplot()
    measured = {
        name: -quantization.bits_per_dim(sweep.measured, [num_dimensions]) for name, sweep in sweeps.items()
    }
    every = np.concatenate(list(measured.values()))
    margin = 0.3 * np.ptp(every) + 0.05
    low, high = every.min() - margin, every.max() + margin
    for name, sweep in sweeps.items():
        colour = how[name].color
        error = quantization.bits_per_dim(sweep.measured_se, [num_dimensions])
        axes.errorbar(sweep.contrasts, measured[name], abs(error), marker="o", label=name, **how[name].line)
        if np.isnan(sweep.predicted).all():
            continue
        k, predicted = _finely(sweep)
        predicted = -quantization.bits_per_dim(predicted, [num_dimensions])
        shown = np.where((predicted > low) & (predicted < high), predicted, np.nan)
        axes.plot(k, shown, "--", color=colour, linewidth=1)
    axes.set_ylim(low, high)
    axes.set_xlabel("contrast k (the variance is k² times as large)")
    axes.set_ylabel("mean log P(x) (bits/dim)\nhigher: likelier")
    if not all(np.isnan(sweep.predicted).all() for sweep in sweeps.values()):
        axes.plot([], "--", color="0.4", linewidth=1, label="second order, full covariance")
    axes.set_title(title)
    axes.legend(fontsize="small")
    return figure


def _finely(sweep: ContrastSweep) -> tuple[np.ndarray, np.ndarray]:
    """(contrasts, predictions) on a fine grid, so that the curve ends where it leaves the picture."""
    k = np.linspace(sweep.contrasts.min(), sweep.contrasts.max(), 400)
    return k, np.interp(k, sweep.contrasts, sweep.predicted)


def constant_curve(
    levels: np.ndarray,
    values: np.ndarray,
    references: dict[str, float],
    num_dimensions: int,
    title: str,
    how: How | None = None,
) -> Figure:
    """Likelihood of constant images against their grey level, with data sets' means as lines.

    Args:
      levels: Grey levels `[L]`.
      values: Log-likelihoods `[L]`, nats.
      references: {data set: mean log-likelihood}.
      num_dimensions: D.
      title: Of the picture.
      how: As for `decomposition_histograms`.
    """
    how = how or pictures.styles(references)
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.add_subplot()
    curve = -quantization.bits_per_dim(values, [num_dimensions])
    axes.plot(levels, curve, color="0.3", label="images of one grey level")
    bits = {name: -quantization.bits_per_dim(v, [num_dimensions]) for name, v in references.items()}
    shown = [*curve, next(iter(bits.values()))]
    reach = 2 * np.ptp(shown)
    for name, level in bits.items():
        colour = how[name].color
        if min(shown) - reach < level < max(shown) + reach:
            axes.axhline(float(level), color=colour, linestyle="--", label=f"{name}: mean {level:.2f}")
        else:
            axes.plot([], "--", color=colour, label=f"{name}: mean {level:.2f} (off the scale)")
    axes.set_xlabel("grey level of the constant image")
    axes.set_ylabel("log P(x) (bits/dim)\nhigher: likelier")
    axes.set_title(title)
    axes.legend(fontsize="small")
    return figure


def temperature_grid(images: np.ndarray, temperatures: Sequence[float], title: str) -> Figure:
    """Samples, a row for each latent temperature.

    Args:
      images: uint8 `[T, N, H, W, C]`.
      temperatures: `[T]`.
      title: Of the picture.
    """
    rows, columns = images.shape[:2]
    figure = Figure(figsize=(9, 9 * rows / columns + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes_row, images_row, temperature in zip(grid, images, temperatures, strict=True):
        for axes, image in zip(axes_row, images_row, strict=True):
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
        axes_row[0].set_ylabel(f"T = {temperature:g}")
    figure.suptitle(title)
    return figure


def _histograms(axes: Axes, values: dict[str, np.ndarray], how: How) -> None:
    """Overlaid histograms over the range that holds nearly all of the sets near the first."""
    low, high = pictures.window(list(values.values()))
    edges = np.linspace(low, high, BINS).tolist()
    for name, v in values.items():
        off = "" if low <= np.median(v) <= high else " (off the scale)"
        style = how[name]
        if np.ptp(v) < (high - low) / BINS:  # a constant volume: one line rather than one bar
            axes.axvline(np.median(v), linewidth=2, label=f"{name}{off}", **style.line)
            continue
        if not ((low <= v) & (v <= high)).any():
            axes.plot([], label=f"{name}{off}", **style.line)
            continue
        if style.filled:
            axes.hist(v, edges, density=True, alpha=0.3, color=style.color)
        axes.hist(v, edges, density=True, histtype="step", label=f"{name}{off}", **style.line)
    if all(np.ptp(v) < 1e-5 * (1 + abs(v[0])) for v in values.values()):
        axes.text(0.48, 0.5, "the same for\nevery image", transform=axes.transAxes, ha="right")
        axes.locator_params(axis="x", nbins=4)
    axes.set_xlim(low, high)
