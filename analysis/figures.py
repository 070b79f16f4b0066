"""The pictures of a report; each function draws one `Figure`."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis.comparison import Comparison
from analysis.decomposition import ImageTerms
from analysis.moments import Moments
from analysis.study import ContrastSweep
from tfp_flows.numerics import quantization
from tfp_flows.pages import histograms, lines, pictures
from tfp_flows.pages.palette import LIGHT

How = Mapping[str, pictures.Style]
FAR = 10  # times the reach of all other sets: such a set is off the scale


@pictures.styled
def decomposition_histograms(
    rows: Sequence[tuple[str, dict[str, ImageTerms]]], suptitle: str = "", how: How | None = None
) -> Figure:
    """Histograms of log p(z), volume and their sum side by side, for one model below the other.

    Args:
      rows: List of (title, {data set: `ImageTerms`}), the model's own data first.
      suptitle: Of the whole picture.
      how: {data set: `pictures.Style`}; None for one of this picture alone.
    """
    how = how or pictures.styles(name for _, terms in rows for name in terms)
    found = {title: _term_columns(terms) for title, terms in rows}
    heights = [histograms.height(columns, how) + 0.3 for columns in found.values()]
    figure = Figure(figsize=(pictures.WIDTH, sum(heights) + 0.3 * bool(suptitle)), layout="constrained")
    places = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for place, (title, columns) in zip(places, found.items(), strict=True):
        histograms.fill(place, columns, how, title)
    if suptitle:
        figure.suptitle(suptitle)
    return figure


def _term_columns(terms: dict[str, ImageTerms]) -> list[pictures.Column]:
    """The two terms and their sum, in bits/dim."""
    terms_of = {
        "log p(z): latent under the prior": lambda t: t.log_prob_z,
        "log|det dz/dx|: volume": lambda t: t.log_det + t.dequantization,
        "log P(x): their sum": lambda t: t.log_prob,
    }
    return [
        pictures.Column(
            {name: -quantization.bits_per_dim(of(t), [t.num_dimensions]) for name, t in terms.items()},
            "bits/dim (further right: likelier)",
            title,
        )
        for title, of in terms_of.items()
    ]


@pictures.styled
def layer_profile(terms: dict[str, ImageTerms], title: str, how: How | None = None) -> Figure:
    """How the volume of each data set, less the first's, builds up from layer to layer.

    Args:
      terms: {data set: `ImageTerms`}, the model's own data first.
      title: Of the picture.
      how: As for `decomposition_histograms`.
    """
    how = how or pictures.styles(terms)
    figure = Figure(figsize=(pictures.WIDTH, 3.6), layout="constrained")
    axes = figure.add_subplot()
    (own, reference), *others = terms.items()
    ends, reach = {own: 0.0}, {}
    for name, t in others:
        difference = [t.layers[k].mean() - reference.layers[k].mean() for k in reference.layers]
        sums = np.cumsum(difference)
        axes.step(range(len(difference)), sums, where="mid", label=name, **how[name].line)
        ends[name], reach[name] = float(sums[-1]), (float(sums.min()), float(sums.max()))
    axes.axhline(0, color=how[own].color, linewidth=1, label=own)
    axes.set_xlim(-0.5, len(reference.layers) - 0.5)
    axes.set_ylim(*_near(reach.values()))
    levels = [i for i, name in enumerate(reference.layers) if name.endswith("_squeeze")]
    for level, position in enumerate(levels):
        axes.axvline(position, color=LIGHT.line, linewidth=0.8)
        axes.annotate(
            f" level {level}",
            (position, 1),
            xycoords=("data", "axes fraction"),
            va="top",
            fontsize="small",
            color=LIGHT.soft,
        )
    axes.set_xlabel("layer, from the image to the latent")
    axes.set_ylabel("sum of log|det| less that of\nthe model's own data (nats)")
    axes.set_title(title)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    lines.name_ends(axes, ends, how)
    return figure


def _near(reaches: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Limits of an axis that holds 0 and all ranges but those ten times as wide as the widest other."""
    widths = sorted(reaches, key=lambda reach: max(map(abs, reach)))
    shown = widths[:1]
    for reach in widths[1:]:
        if max(map(abs, reach)) > FAR * max(*map(abs, shown[-1]), 1e-6):
            break
        shown.append(reach)
    low, high = min([0.0, *(r[0] for r in shown)]), max([0.0, *(r[1] for r in shown)])
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def moment_histograms(moments: dict[str, Moments], title: str, how: How | None = None) -> Figure:
    """Histograms over pixels and channels of means and of variances.

    Args:
      moments: {data set: `Moments`}.
      title: Of the picture.
      how: As for `decomposition_histograms`.
    """
    columns = [
        pictures.Column(
            {name: m.mean.ravel() for name, m in moments.items()}, "mean of a pixel (grey levels)"
        ),
        pictures.Column(
            {name: np.sqrt(m.variance).ravel() for name, m in moments.items()},
            "standard deviation of a pixel (grey levels)",
        ),
    ]
    return histograms.figure(columns, how or pictures.styles(moments), title)


@pictures.styled
def estimates(comparisons: dict[str, Comparison], title: str) -> Figure:
    """Measured and predicted differences of log-likelihood, a group of bars for each data set.

    Args:
      comparisons: {data set: `Comparison`}.
      title: Of the picture.
    """
    figure = Figure(figsize=(pictures.WIDTH, 4), layout="constrained")
    axes = figure.add_subplot()
    names = ["measured"]
    for value in comparisons.values():
        names += [name for name in value.estimates() if name not in names]
    width = 0.8 / len(names)
    colours = [LIGHT.ink, *pictures.shades(len(names) - 1)]
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
    axes.axhline(0, color=LIGHT.soft, linewidth=0.8)
    names = [name.replace("$", r"\$") for name in comparisons]
    axes.set_xticks(range(len(comparisons)), names, fontsize="small")
    axes.set_yscale("symlog", linthresh=100)
    axes.set_ylabel("nats per image (symlog)\nabove 0: likelier than own data")
    figure.suptitle(title, x=0.01, ha="left")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


@pictures.styled
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
    figure = Figure(figsize=(pictures.WIDTH, 3.8), layout="constrained")
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
        axes.plot([], "--", color=LIGHT.soft, linewidth=1, label="second order, full covariance")
        axes.legend(handles=axes.lines[-1:], loc="lower left")
    axes.set_title(title)
    axes.set_xlim(right=0.02 + max(float(sweep.contrasts.max()) for sweep in sweeps.values()))
    lines.name_ends(axes, {name: float(values[-1]) for name, values in measured.items()}, how)
    return figure


def _finely(sweep: ContrastSweep) -> tuple[np.ndarray, np.ndarray]:
    """(contrasts, predictions) on a fine grid, so that the curve ends where it leaves the picture."""
    k = np.linspace(sweep.contrasts.min(), sweep.contrasts.max(), 400)
    return k, np.interp(k, sweep.contrasts, sweep.predicted)


@pictures.styled
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
    figure = Figure(figsize=(pictures.WIDTH, 3.4), layout="constrained")
    axes = figure.add_subplot()
    curve = -quantization.bits_per_dim(values, [num_dimensions])
    axes.plot(levels, curve, color=LIGHT.soft, label="images of one grey level")
    bits = {name: -quantization.bits_per_dim(v, [num_dimensions]) for name, v in references.items()}
    shown = [*curve, next(iter(bits.values()))]
    reach = 2 * np.ptp(shown)
    ends, beyond = {}, []
    for name, level in bits.items():
        label, colour = f"{name}: {_signed(float(level))}", how[name].color
        if min(shown) - reach < level < max(shown) + reach:
            axes.axhline(float(level), color=colour, linestyle="--", label=label)
            ends[name] = float(level)
        else:
            axes.plot([], "--", color=colour, label=f"{label} (off the scale)")
            beyond.append(label)
    axes.set_xlim(0, 255)
    axes.annotate(
        "images of one grey level",
        (float(levels[0]), float(curve[0])),
        xytext=(6, 6),
        textcoords="offset points",
        fontsize="small",
        color=LIGHT.soft,
    )
    lines.name_ends(
        axes, ends, how, {name: f"{name}: {_signed(float(level))}" for name, level in ends.items()}
    )
    off = f"\noff the scale: {', '.join(beyond)}" if beyond else ""
    axes.set_xlabel(f"grey level of the constant image (dashed: means of sets){off}")
    axes.set_ylabel("log P(x) (bits/dim)\nhigher: likelier")
    axes.set_title(title)
    return figure


@pictures.styled
def temperature_grid(images: np.ndarray, temperatures: Sequence[float], title: str) -> Figure:
    """Samples, a row for each latent temperature.

    Args:
      images: uint8 `[T, N, H, W, C]`.
      temperatures: `[T]`.
      title: Of the picture.
    """
    rows, columns = images.shape[:2]
    figure = Figure(figsize=(pictures.WIDTH, pictures.WIDTH * rows / columns + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes_row, images_row, temperature in zip(grid, images, temperatures, strict=True):
        for axes, image in zip(axes_row, images_row, strict=True):
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        axes_row[0].set_ylabel(f"T = {temperature:g}")
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _signed(value: float) -> str:
    """A number with a minus sign, which is longer than a hyphen."""
    return f"{value:.2f}".replace("-", "−")
