"""The chapters of a comparison of detectors."""

from collections.abc import Sequence

import numpy as np

from analysis import detector_figures, published
from analysis.detector_study import ALPHA, DetectorStudy, Result
from analysis.separation import Estimate
from analysis.shown import Shown
from tfp_flows import detectors, evaluation
from tfp_flows.data import Labels
from tfp_flows.detectors import typicality
from tfp_flows.detectors.calibration import images_needed
from tfp_flows.pages.page import Page, Row

GROUP_SIZES = (1, 2, 10, 25)
LEVEL = 0.01
NUM_MAPS = 8
GOAL = 0.95


def warnings(page: Page, lines: Sequence[str], how_held_out: str) -> None:
    """What was held out, and what may mislead."""
    page.section("Read this first", "audit")
    page.text(how_held_out)
    for line in lines:
        page.callout(f"Warning: {line}")


def comparison(page: Page, study: DetectorStudy, results: Sequence[Result]) -> None:
    """The table of every detector, and its pictures, for each foreign set."""
    page.section("Detectors", "detectors")
    show = _shown(study, results)
    own = show.label(study.own)
    for name in dict.fromkeys(r.foreign for r in results):
        chosen, foreign = [r for r in results if r.foreign == name], show.label(name)
        page.heading(f"{own} against {foreign}")
        file = page.data(f"detectors_{_file_name(foreign)}", [row(r) for r in chosen])
        page.table(
            f"detectors_{_file_name(foreign)}_short",
            [_short_row(r) for r in chosen],
            _caption(foreign, file),
            formats={
                **dict.fromkeys(("AP", "FPR at 95 % TPR", "false alarms", "detected"), ".3f"),
                "ms/image": ".2f",
            },
        )
        groups: dict[str, list[Result]] = {}
        for result in chosen:
            groups.setdefault(result.candidate.run, []).append(result)
        page.figure(
            f"auroc_{_file_name(foreign)}",
            detector_figures.auroc_dots(groups, foreign, GOAL),
            f"AUROC of {len(chosen)} detectors for {own} against {foreign}: "
            + "; ".join(f"{r.candidate.label} {r.separation.auroc.value:.3f}" for r in chosen),
        )
        for run, group in _with_company(groups).items():
            panels = [
                detector_figures.Panel(
                    r.candidate.title,
                    study.scores(r.candidate, study.own),
                    study.scores(r.candidate, name),
                    r.threshold,
                )
                for r in group
            ]
            page.figure(
                f"scores_{_file_name(run)}_{_file_name(foreign)}",
                detector_figures.score_histograms(panels, own, foreign, show.styles),
                f"Histograms of the scores of {own} and {foreign} for {run}: "
                + ", ".join(panel.title for panel in panels),
                f"{run}. Scores beyond the frame are drawn at its edge; right of the dashed line an image "
                f"is called out of distribution at a level of {ALPHA:g}.",
            )


def _shown(study: DetectorStudy, results: Sequence[Result]) -> Shown:
    """The sets of the page."""
    return Shown([study.own], dict.fromkeys(r.foreign for r in results))


def _caption(foreign: str, file: str) -> str:
    return (
        f"{foreign} is the positive class; brackets: 95 % bootstrap intervals (those of AP, the average "
        f"precision, and FPR are in tables/{file}.csv), a dash where either set "
        f"has fewer than {evaluation.FEWEST} images. False alarms and detected: share of own and of "
        f"foreign test images with a p-value of at most {ALPHA:g}, by split conformal calibration; a dash "
        f"where fewer than {images_needed(ALPHA)} images calibrate, so that no p-value can be that small. "
        f"Milliseconds: for an image, on the machine that made this page."
    )


def lead(results: Sequence[Result]) -> str:
    """The first paragraph of the page: what the likelihood does here, and what follows."""
    remedies = (
        "Here is every remedy of the library on the same models, with the same images, thresholds from "
        "held-out images, and no labels."
    )
    values = [r.separation.auroc.value for r in results if r.candidate.kind is detectors.Likelihood]
    if not values:
        return remedies
    low, high = f"{min(values):.3f}", f"{max(values):.3f}"
    span = f"its AUROC is {low}" + (f" to {high}" if high != low else "")
    if max(values) < 0.5:
        says = "The likelihood does not"
    elif min(values) >= GOAL:
        says = "Here the likelihood does"
    elif min(values) >= 0.5:
        says = "Here the likelihood does in part"
    else:
        below = sum(value < 0.5 for value in values)
        says = f"The likelihood does not in {below} of {len(values)} comparisons"
    return f"{says}: {span}. {remedies}"


def _with_company(groups: dict[str, list[Result]]) -> dict[str, list[Result]]:
    """The groups, those of a single result put together as "others"."""
    alone = [group[0] for group in groups.values() if len(group) == 1]
    several = {run: group for run, group in groups.items() if len(group) > 1}
    return {**several, "others": alone} if alone else several


def _short_row(result: Result) -> Row:
    """A result as a row of the page."""
    measures = result.separation
    return {
        "score": result.candidate.title,
        "model": result.candidate.run,
        "images": " / ".join(f"{count:,}" for count in result.counts),
        "fitted / calibrated": f"{result.num_fit:,} / {result.num_calibration:,}",
        "AUROC": _with_interval(measures.auroc),
        "AP": measures.average_precision.value,
        "FPR at 95 % TPR": measures.fpr_at_95_tpr.value,
        "false alarms": result.false_alarms,
        "detected": result.detected,
        "ms/image": 1000 * result.seconds,
        "label-free": "no" if result.candidate.outliers else "yes",
    }


def _with_interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f} [–]"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def row(result: Result) -> Row:
    """A result as a row of tables/*.csv and results.json."""
    measures = result.separation
    return {
        "score": result.candidate.title,
        "model": result.candidate.run,
        "own images": result.counts[0],
        "foreign images": result.counts[1],
        "fitted to": result.num_fit,
        "calibrated with": result.num_calibration,
        "AUROC": measures.auroc.value,
        "AUROC low": measures.auroc.low,
        "AUROC high": measures.auroc.high,
        "average precision": measures.average_precision.value,
        "AP low": measures.average_precision.low,
        "AP high": measures.average_precision.high,
        "FPR at 95 % TPR": measures.fpr_at_95_tpr.value,
        "FPR low": measures.fpr_at_95_tpr.low,
        "FPR high": measures.fpr_at_95_tpr.high,
        "false alarms": result.false_alarms,
        "detected": result.detected,
        "ms/image": 1000 * result.seconds,
        "label-free": "no" if result.candidate.outliers else "yes",
    }


def literature(page: Page, study: DetectorStudy, results: Sequence[Result]) -> None:
    """Published numbers, others' re-runs and ours, side by side."""
    page.section("Beside the literature", "literature")
    show = _shown(study, results)
    rows = []
    for result in results:
        for number in published.numbers(result.candidate.kind.name, study.own, result.foreign):
            rows.append(
                {
                    "score": result.candidate.title,
                    "against": show.label(result.foreign),
                    "published": number.auroc if number.by_authors else "",
                    "re-run": "" if number.by_authors else number.auroc,
                    "their model": number.model,
                    "who": number.who,
                    "how sure": published.SOURCES[number.source],
                    "ours": result.separation.auroc.value,
                    "our model": result.candidate.run,
                }
            )
    if not rows:
        page.text(f"No published number is on record for {show.label(study.own)} against these sets.")
        return
    page.text(
        "AUROC. The literature contradicts itself, so each number stands with who measured it. "
        "Models, training and (for CIFAR-10 and SVHN, if they are subsets or rebuilt) data differ "
        "from ours: the table says what to expect, not who is right."
    )
    page.table(
        "literature",
        rows,
        "Published: by the score's authors. Re-run: by others.",
        formats=dict.fromkeys(("published", "re-run", "ours"), ".3f"),
    )


def groups_of_images(page: Page, study: DetectorStudy, results: Sequence[Result]) -> None:
    """Typicality of M images that come together: rejection rates, as its authors report them."""
    chosen = [r for r in results if r.candidate.kind is detectors.Typicality]
    if not chosen:
        return
    page.section("Typicality of several images together", "typicality")
    page.text(
        "The test of Nalisnick et al. 2019 asks whether M images come from the data; it rejects where "
        f"the mean of -log p is further from the entropy than in {100 * (1 - LEVEL):g} % of resampled "
        f"groups of calibration images. These are rejection rates at level {LEVEL:g}, not AUROC: own "
        f"images should be rejected as rarely as that."
    )
    show = _shown(study, results)
    rows = []
    for result in chosen:
        fit, held_out = (
            study.log_probs(result.candidate, study.own, s) for s in ("validation", "calibration")
        )
        entropy = -fit.mean()
        for name in (study.own, result.foreign):
            tested = study.log_probs(result.candidate, name, "test")
            tested = np.random.default_rng(0).permutation(tested)  # a test split may be sorted
            rates = {f"M = {m}": _rejection_rate(tested, held_out, entropy, m) for m in GROUP_SIZES}
            rows.append({"model": result.candidate.run, "images": show.label(name), **rates})
    rows = list({(r["model"], r["images"]): r for r in rows}.values())
    page.table(
        "typicality",
        rows,
        "Share of groups of M images that are rejected; a dash where a set has fewer than M.",
        formats=dict.fromkeys((f"M = {m}" for m in GROUP_SIZES), ".3f"),
    )


def _rejection_rate(log_probs: np.ndarray, held_out: np.ndarray, entropy: float, size: int) -> float | str:
    """The share of rejected groups, or "" where the images do not make one."""
    if len(log_probs) < size:
        return ""
    return typicality.rejection_rate(log_probs, held_out, entropy, size, LEVEL)


def maps(page: Page, study: DetectorStudy, results: Sequence[Result]) -> None:
    """Where scores come from, for those that can tell."""
    show, begun = _shown(study, results), False
    for result in results:
        fitted = study.fitted(result.candidate)
        own, foreign = (show.label(name) for name in (study.own, result.foreign))
        pairs = [
            (name, np.asarray(study.images(name, "test", NUM_MAPS).images))
            for name in (study.own, result.foreign)
        ]
        try:
            rows = [(show.label(name), images, fitted.score_map(images)) for name, images in pairs]
        except detectors.DetectorError:
            continue
        if not begun:
            page.section("Where a score comes from", "maps")
            page.text("Maps of the scores that are sums over pixels, or nearly: red pixels look foreign.")
            begun = True
        page.figure(
            f"map_{_file_name(result.candidate.label)}_{_file_name(foreign)}",
            detector_figures.score_maps(rows, result.candidate.label),
            f"Images of {own} and {foreign} with maps of the score {result.candidate.label}.",
        )


def text_table(results: Sequence[Result]) -> str:
    """The results as an aligned text table."""
    label = Labels(dict.fromkeys(r.foreign for r in results))
    lines: list[tuple[str, ...]] = [
        ("score", "model", "against", "AUROC [95 %]", "AP", "FPR@95", "alarms", "found", "ms/image")
    ]
    for r in results:
        lines.append(
            (
                r.candidate.title,
                r.candidate.run,
                label(r.foreign),
                _with_interval(r.separation.auroc),
                f"{r.separation.average_precision.value:.3f}",
                f"{r.separation.fpr_at_95_tpr.value:.3f}",
                *("–" if share is None else f"{share:.3f}" for share in (r.false_alarms, r.detected)),
                f"{1000 * r.seconds:.2f}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in text)
