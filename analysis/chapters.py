"""The chapters of a report: each turns numbers of the runs into text, tables and pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis import comparison, figures, shown, term_rows
from analysis.moments import Moments
from analysis.study import RunStudy
from analysis.sweeps import TEMPERATURES
from tfp_flows import evaluation
from tfp_flows.numerics import quantization
from tfp_flows.pages import pictures
from tfp_flows.pages.page import Page, Row

AREA = ("AUROC of -log P", "low", "high")  # columns


def likelihoods(page: Page, studies: Sequence[RunStudy]) -> None:
    """Mean likelihoods and AUROC of every data set under every run."""
    page.section("Likelihoods", "likelihoods")
    show = shown.of_studies(studies)
    rows: list[dict[str, Any]] = []
    for study in studies:
        for name in [study.spec.dataset, *study.others]:
            log_probs = study.log_probs(name)
            bits = quantization.bits_per_dim(log_probs, study.spec.image_shape)
            area = (None, None, None) if name == study.spec.dataset else study.auroc(name)
            rows.append(
                {
                    "run": study.name,
                    "data set": show.label(name),
                    "images": len(bits),
                    "bits/dim": float(bits.mean()),
                    "standard error": _standard_error(bits),
                    "log P (nats)": float(log_probs.mean()),
                    **{k: "" if v is None else v for k, v in zip(AREA, area, strict=True)},
                }
            )
    page.text(_fooled_text(*count_fooled(studies)))
    page.table(
        "likelihoods",
        rows,
        "Test images. Fewer bits per dimension: likelier. AUROC with the other set as the positive class; "
        "below 0.5 the likelihood is fooled; low and high are its 95 % bootstrap interval, a dash where "
        f"either set has fewer than {evaluation.FEWEST} images.",
        formats={
            "images": ",",
            "bits/dim": ".3f",
            "standard error": ".3f",
            "log P (nats)": ",.1f",
            **dict.fromkeys(["AUROC of -log P", "low", "high"], ".3f"),
        },
        marks=_mark_auroc,
    )
    for study in studies:
        areas = [
            pictures.Area(show.label(name), *study.auroc(name), show.styles[show.label(name)].color)
            for name in study.others
        ]
        if areas:
            own = show.label(study.spec.dataset)
            page.figure(
                f"auroc_{study.name}",
                pictures.auroc_dots(areas, f"AUROC of -log P under {study.name}, against {own}"),
                f"AUROC of -log P under {study.name} for {own} against other sets: "
                + "; ".join(f"{area.label} {area.value:.3f}" for area in areas),
                f"{study.name}. Left of chance the likelihood is fooled.",
            )


def count_fooled(studies: Sequence[RunStudy]) -> tuple[int, int]:
    """(comparisons with an AUROC below 0.5, all comparisons with data not trained on)."""
    areas = [study.auroc(name)[0] for study in studies for name in study.others]
    return sum(area < 0.5 for area in areas), len(areas)


def _fooled_text(fooled: int, judged: int) -> str:
    where = "there the model finds the unfamiliar images likelier than its own test images"
    if not fooled:
        where = "nowhere does a model find the unfamiliar images likelier than its own test images"
    return (
        f"Of {judged} comparisons with data that a model was not trained on, {fooled} have an AUROC below "
        f"0.5: {where}."
    )


def decomposition(page: Page, studies: Sequence[RunStudy]) -> None:
    """The two terms of the change of variables, side by side, and the volume by layer."""
    page.section("Latent and volume", "decomposition")
    page.text(
        "log P(x) = log p(z) + log|det dz/dx| (less D ln 256 for the step from grey levels to the unit "
        "interval, which is counted with the volume here). In a flow of constant volume (CV) the second "
        "term is the same for all images, so that it cannot be what is fooled."
    )
    show = shown.of_studies(studies)
    studies = _flows_among(page, studies)
    if not studies:
        return
    terms = {s.name: {show.label(n): s.terms(n) for n in [s.spec.dataset, *s.others]} for s in studies}
    for dataset in dict.fromkeys(show.label(s.spec.dataset) for s in studies):
        group = [s for s in studies if show.label(s.spec.dataset) == dataset]
        page.figure(
            f"decomposition_{_file_name(dataset)}",
            figures.decomposition_histograms([(s.name, terms[s.name]) for s in group], how=show.styles),
            f"Histograms of log p(z), of the volume term and of their sum for models trained on {dataset}: "
            + "; ".join(f"{s.name} on {', '.join(terms[s.name])}" for s in group),
            f"Models trained on {dataset}, in bits per dimension; further right is likelier.",
        )
    rows = [row for s in studies for row in term_rows.share_rows(s, terms[s.name])]
    page.table(
        "volume_share",
        rows,
        "Means over test images, less those of the model's own test images, in nats per image: how much "
        "of the difference in log P(x) comes from either term.",
        formats=dict.fromkeys(["log P difference", "from log p(z)", "from volume"], "+,.1f"),
    )
    page.table(
        "levels",
        [row for s in studies for row in term_rows.level_rows(s, terms[s.name])],
        "Mean of log p(z) over test images by the level at which the latents leave the flow (0: first, the "
        "finest detail), in nats, and its difference from that of the model's own test images.",
        formats={"level": "d", "log p(z)": ",.1f", "difference": "+,.1f"},
    )
    page.data("layers", [row for s in studies for row in term_rows.layer_rows(s, terms[s.name])])
    for study in studies:
        page.data(f"images_{study.name}", term_rows.image_rows(terms[study.name]), in_json=False)
        if study.coupling not in ("additive", None):
            page.figure(
                f"layers_{study.name}",
                figures.layer_profile(terms[study.name], f"Volume by layer: {study.name}", show.styles),
                "Running sum over layers of the volume term of {1} less that of {0}, for {2}.".format(
                    *term_rows.own_and_others(terms[study.name]), study.name
                ),
                "Where the volume term of other data departs from that of the model's own.",
            )


def data_moments(page: Page, studies: Sequence[RunStudy]) -> None:
    """Means and variances of the data sets."""
    page.section("Means and variances of the data", "moments")
    show = shown.of_studies(studies)
    rows, drawn = [], set()
    for study in studies:
        own = show.label(study.spec.dataset)
        found = {show.label(n): study.moments(n, "test") for n in [study.spec.dataset, *study.others]}
        found = {own: found.pop(own), show.train(study.spec.dataset): study.training_moments, **found}
        for name, m in found.items():
            if (name, m.mean.shape) not in drawn:
                rows.append(_moment_row(name, m))
        key = (own, tuple(found))
        if key not in drawn:
            page.figure(
                f"moments_{study.name}",
                figures.moment_histograms(found, f"Pixels of {own} and of others", show.styles),
                f"Histograms over pixels of the mean and the standard deviation of {', '.join(found)}.",
                "Data that sit inside the training data, with smaller variance, are where the likelihood "
                "is expected to be fooled.",
            )
        drawn |= {key} | {(name, m.mean.shape) for name, m in found.items()}
    page.table(
        "moments",
        rows,
        "Mean over pixels and channels, in grey levels 0..255 and in units of [0, 1].",
        formats={
            "images": ",",
            "mean": ".1f",
            "variance": ",.0f",
            "mean [0, 1]": ".3f",
            "variance [0, 1]": ".4f",
        },
    )


def second_order(page: Page, studies: Sequence[RunStudy]) -> None:
    """Measured and predicted differences of the log-likelihood."""
    page.section("Second order", "second-order")
    page.text(
        "E_q[log p] − E_p*[log p] ≈ gᵀδ + ½ δᵀHδ + ½ Tr(H(Σ_q − Σ_p*)), with gradient g and Hessian H of "
        "log p at the mean of the training data. The paper keeps the last term, with diagonal "
        "covariances. “Linear part” is the Hessian of the flow with its shift networks at zero, which is "
        "what the paper's closed form approximates; both have a meaning for flows of constant volume alone, "
        "and the closed form only for flows that do not squeeze."
    )
    show = shown.of_studies(studies)
    rows = []
    for study in _flows_among(page, studies):
        found = {show.label(name): study.comparison(name) for name in study.others}
        rows += [_estimate_row(study, name, value) for name, value in found.items()]
        if found:
            page.figure(
                f"second_order_{study.name}",
                figures.estimates(found, f"Measured and predicted: {study.name}"),
                f"Bars of the measured and the predicted difference of log-likelihood between "
                f"{', '.join(found)} and {show.label(study.spec.dataset)}, under {study.name}.",
                "Above zero the other data are likelier than the model's own.",
            )
    if rows:
        page.text(_reach_text(rows))
        numbers = [key for key in rows[0] if key not in ("run", "q")]
        page.table(
            "second_order",
            rows,
            "Nats per image; ± one standard error. “Whole expansion” is first order, curvature of the means "
            "and full covariance together.",
            formats=dict.fromkeys(numbers, "+,.0f"),
        )
        page.table(
            "explained",
            [_explained_row(row) for row in rows],
            "The same as a fraction of the measured difference: 1 explains it all, below 0 has the wrong "
            "sign.",
            formats=dict.fromkeys(numbers, "+.2f"),
        )


def sweeps(page: Page, studies: Sequence[RunStudy]) -> None:
    """Likelihood against contrast and against the grey level of constant images."""
    page.section("Contrast and constant images", "sweeps")
    page.text(
        "Contrast k moves every pixel towards its channel's mean, x' = mean + k (x − mean), rounded and "
        "clipped, and so multiplies the variance by k²; k < 1 is the paper's graying. The expansion "
        "predicts a parabola in k, falling for k > 0 where H is negative (with full covariances here, and "
        "set level with what was measured at k = 1). Constant images have no contrast at all."
    )
    show = shown.of_studies(studies)
    for study in studies:
        size = int(np.prod(study.spec.image_shape))
        found = {show.label(name): study.contrast(name) for name in study.faded()}
        page.figure(
            f"contrast_{study.name}",
            figures.contrast_curves(found, size, f"Likelihood against contrast: {study.name}", show.styles),
            f"Log-likelihood under {study.name} against contrast for {', '.join(found)}, measured and "
            f"predicted.",
        )
        page.table(
            f"contrast_{study.name}",
            [
                {"data set": name, "k": k, "log P (nats)": m, "standard error": e, "predicted": p}
                for name, sweep in found.items()
                for k, m, e, p in zip(
                    *(
                        values.tolist()
                        for values in (
                            sweep.contrasts,
                            sweep.measured,
                            sweep.measured_se,
                            sweep.predicted,
                        )
                    ),
                    strict=True,
                )
            ],
            f"{study.name}: mean log-likelihood in nats per image at contrast k.",
            formats={
                "k": "g",
                "log P (nats)": ",.0f",
                "standard error": ",.0f",
                "predicted": ",.0f",
            },
        )
        levels, values = study.constants()
        page.data(
            f"constants_{study.name}",
            [
                {"grey level": int(level), "log P (nats)": float(value)}
                for level, value in zip(levels, values, strict=True)
            ],
        )
        means = {show.label(n): study.log_probs(n).mean() for n in [study.spec.dataset, *study.others]}
        title = f"Constant images: {study.name}"
        page.figure(
            f"constants_{study.name}",
            figures.constant_curve(levels, values, means, size, title, show.styles),
            f"Log-likelihood under {study.name} of constant images against their grey level, with the means "
            f"of {', '.join(means)} as lines.",
        )


def samples(page: Page, studies: Sequence[RunStudy]) -> None:
    """Samples at several latent temperatures."""
    page.section("Samples", "samples")
    for study in studies:
        temperatures = TEMPERATURES if study.is_flow else (1.0,)
        page.figure(
            f"samples_{study.name}",
            figures.temperature_grid(study.samples(), temperatures, f"Samples: {study.name}"),
            f"Images drawn from {study.name}, a row for each latent temperature "
            f"{', '.join(f'{t:g}' for t in temperatures)}.",
            "The latent is multiplied by T; the rows share their random numbers."
            if study.is_flow
            else "The model's own samples.",
        )


def _standard_error(values: np.ndarray) -> float | str:
    """Of the mean of values `[N]`; "" of a single one."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else ""


def _flows_among(page: Page, studies: Sequence[RunStudy]) -> list[RunStudy]:
    """The runs that are flows; the page says which are not."""
    left_out = [s.name for s in studies if not s.is_flow]
    if left_out:
        page.text(
            f"Not for {', '.join(left_out)}: there is no change of variables, and no flow to expand, in a "
            f"model that is no flow."
        )
    return [s for s in studies if s.is_flow]


def _moment_row(name: str, m: Moments) -> Row:
    return {
        "data set": name,
        "images": m.count,
        "mean": float(m.mean.mean()),
        "variance": float(m.variance.mean()),
        "mean [0, 1]": float(m.mean.mean() / 255),
        "variance [0, 1]": float(m.variance.mean() / 255**2),
        "variance by channel [0, 1]": ", ".join(f"{v / 255**2:.4f}" for v in m.channel_variance),
    }


def _estimate_row(study: RunStudy, name: str, value: comparison.Comparison) -> Row:
    estimates = value.estimates()
    return {
        "run": study.name,
        "q": name,
        "measured": value.measured,
        "first order": value.first_order,
        "curvature of means": value.mean_curvature,
        **{label: estimates.get(label, "") for label in comparison.ESTIMATES},
        "Hutchinson ±": value.trace_hutchinson_se,
        "full covariance ±": value.trace_full_se,
    }


def _reach_text(rows: Sequence[Row]) -> str:
    """How far the expansion can be believed, in numbers."""
    far = [row for row in rows if abs(row["whole expansion"]) > 10 * abs(row["measured"])]
    return (
        f"The expansion is local, and log p is no parabola between the mean image and the data: in "
        f"{len(far)} of {len(rows)} comparisons it is more than ten times as large as what was measured, so "
        f"that its sign may be right but not its size."
    )


def _explained_row(row: Row) -> Row:
    kept = {k: v for k, v in row.items() if not k.endswith("±") and k != "measured"}
    if row["measured"] == 0:  # the same images
        return {k: v if k in ("run", "q") else "" for k, v in kept.items()}
    return {k: v if isinstance(v, str) else v / row["measured"] for k, v in kept.items()}


def _mark_auroc(row: Row, column: str) -> str | None:
    if column != "AUROC of -log P" or row[column] == "":
        return None
    return "wrong" if row[column] < 0.5 else "right"


def _file_name(dataset: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in dataset)
