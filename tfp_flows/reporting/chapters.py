"""The chapters of a run's report; each turns findings into text, tables and pictures."""

import shlex
from typing import Any

import numpy as np

from tfp_flows import detectors, evaluation
from tfp_flows.data import in_order_of_chance, printable
from tfp_flows.detectors import calibration
from tfp_flows.pages import Page, heat, histograms, pictures
from tfp_flows.reporting import words
from tfp_flows.reporting.findings import Findings
from tfp_flows.reporting.judged import Judged

CONTACT = 24  # images of a set that are shown as a sample of it
SHOWN = 12  # images of the strangest, and of the most normal
AREA, SCORE_AREA = "AUROC of -log p", "AUROC of the score"
LIKELIER = "bits/dim (further right: likelier)"


def data_found(page: Page, found: Findings) -> None:
    """What the data look like."""
    page.section("The images", "images")
    own, train, *others = found.sets
    counts = {"to train on": train.total, "for validation": found.used.fit_total}
    counts |= {"for calibration": found.used.calibration_total, "to test": own.total}
    facts = [(f"{count:,}", use) for use, count in counts.items()]
    page.facts([*facts, ("x".join(map(str, found.spec.image_shape)), "as the model sees them")])
    for line in found.overview:
        page.text(line.strip())
    label = {id(each.images): each.label for each in found.judged}
    for image_set in (train, *others):
        chosen = in_order_of_chance(image_set.keys)[:CONTACT]
        name = label.get(id(image_set), f"{found.own.label} (train)")
        page.images(
            f"sample_{name}",
            [image_set.images[i] for i in chosen],
            [printable(image_set.keys[i]) for i in chosen],
            caption=f"{len(chosen)} of {image_set.total:,} images of {name}, drawn at random.",
        )


def likelihoods(page: Page, found: Findings) -> None:
    """How likely the model finds each set."""
    page.section("How likely the model finds them", "likelihoods")
    page.text(words.likelier(found))
    train = {label: found.own.label for label in found.bits if label.endswith("(train)")}
    page.figure(
        "likelihoods",
        pictures.likelihood_figure(found.bits, how=pictures.styles(found.bits, train)),
        "Histograms of bits per dimension for " + ", ".join(found.bits),
    )
    rows = [
        {
            "images of": row.dataset + (" (train)" if row.split == "train" else ""),
            "images": row.n,
            "bits/dim": row.bits_per_dim,
            "standard error": row.bits_per_dim_se,
            AREA: row.auroc,
            "low": row.auroc_low,
            "high": row.auroc_high,
        }
        for row in found.rows
    ]
    page.table(
        "likelihoods",
        rows,
        "Fewer bits per dimension: likelier. AUROC says how well -log p tells these images from the model's "
        "own test images: 1 is perfect, 0.5 chance; below it they are the likelier ones. low and high are "
        f"its 95 % bootstrap interval, a dash where a set has fewer than {evaluation.FEWEST} images.",
        formats={"images": ",", "bits/dim": ".3f", "standard error": ".3f"}
        | dict.fromkeys((AREA, "low", "high"), ".3f"),
    )


def decomposition(page: Page, found: Findings) -> None:
    """The two terms of a flow's likelihood."""
    if not found.terms:
        return
    page.section("Where the likelihood comes from", "decomposition")
    page.text(
        "A flow maps an image x to a latent z: log p(x) = log p(z) + log|det dz/dx|. The second term is the "
        "volume by which the flow stretches space around the image: smooth images are stretched most."
    )
    titles = next(iter(found.terms.values()))
    columns = [
        pictures.Column({label: terms[title] for label, terms in found.terms.items()}, LIKELIER, title)
        for title in titles
    ]
    page.figure(
        "decomposition",
        histograms.figure(columns, pictures.styles(found.terms)),
        "Histograms of the two terms and of their sum for " + ", ".join(found.terms),
        "Bits per dimension; further right: likelier.",
    )


def alarms(page: Page, found: Findings) -> None:
    """What would be called foreign."""
    alpha, scores = found.own.alpha, found.detector.conformal.known_scores()
    page.section("What would be called foreign", "alarms")
    page.text(
        f"A score ({found.detector.name}) says how strange an image is. Its p-value is the share of "
        f"{len(scores):,} calibration images that are at least as strange; with p <= {alpha:g} an image is "
        f"called foreign. So about {alpha:.0%} of the model's own kind are, whatever the score is."
    )
    how = pictures.styles(each.label for each in found.judged)
    limit = calibration.threshold(alpha, scores)
    page.figure(
        "scores",
        pictures.score_figure(
            {each.label: each.scores for each in found.judged},
            how=how,
            threshold=pictures.Threshold(limit, f"p = {alpha:g}"),
        ),
        "Histograms of the score for " + ", ".join(each.label for each in found.judged),
        "Right of the line an image is called foreign."
        if limit < float("inf")
        else "None is called foreign.",
    )
    rows = [_alarm_row(each, found.own) for each in found.judged]
    page.table(
        "alarms",
        rows,
        f"AUROC is that of the score against the model's own test images. Of those {alpha:.1%} should "
        "be called foreign, by chance.",
        formats={"images": ",", "called foreign": ",", "share": ".1%", SCORE_AREA: ".3f"},
    )
    for row in rows[1:]:
        if row[SCORE_AREA] < words.WEAK:
            page.callout(words.weak(found, row["images of"], row[SCORE_AREA]))
    names = [{"images of": e.label, "key": printable(key), "score": float(s), "p-value": float(p)}
             for e in found.judged
             for key, s, p in zip(e.images.keys, e.scores, e.p_values, strict=True)]  # fmt: skip
    page.data("scores", names, in_json=False)


def _alarm_row(each: Judged, own: Judged) -> dict[str, Any]:
    area = "" if each is own else evaluation.auroc(own.scores, each.scores, num_bootstrap=0)[0]
    count = int(each.foreign.sum())
    return {
        "images of": each.label,
        "images": len(each.images),
        "called foreign": count,
        "share": count / len(each.images),
        SCORE_AREA: area,
    }


def pictures_of(page: Page, found: Findings) -> None:
    """The images that are worth a look."""
    page.section("Worth a look", "look")
    page.text(
        "What the detector finds strangest among the model's own images, and most normal among the others. "
        "Each stands beside a map of where its score comes from."
    )
    reason = _gallery(
        page, found, found.own, found.own.strangest(SHOWN), f"The strangest of {found.own.label}"
    )
    for other in found.others:
        _gallery(page, found, other, other.most_normal(SHOWN), f"The most normal of {other.label}")
    if reason:
        page.text(f"There are no maps: {reason}")


def _gallery(page: Page, found: Findings, each: Judged, chosen: np.ndarray, title: str) -> str:
    """Adds images with their maps; returns why there are none, or ""."""
    page.heading(title)
    images = np.stack([each.images.images[int(i)] for i in chosen])
    captions = [
        (printable(each.images.keys[i]), f"score {each.scores[i]:,.4g}, p = {each.p_values[i]:.3g}")
        for i in chosen
    ]
    overlays, reason = None, ""
    try:
        maps = found.detector.score_map(images)
        scale = found.detector.maps.scale or heat.scale_of(maps)
        overlays = [
            np.asarray(heat.overlay(image, values, scale))
            for image, values in zip(images, maps, strict=True)
        ]
    except detectors.DetectorError as error:
        reason = str(error)
    page.images(title, images, captions, overlays)
    return reason


def next_steps(page: Page, found: Findings) -> None:
    """What to type next."""
    page.section("What next", "next")
    run, detector = (shlex.quote(str(path)) for path in (found.run.folder, found.folder))
    exported = shlex.quote(str(found.run.folder / "exported"))
    page.text("Export model and detector, so that they run with TensorFlow alone:")
    page.code(f"python -m tfp_flows.export --run={run} --detector={detector} --out={exported}")
    page.text("Score other pictures, as they are, into a table, with a map for each:")
    page.code(
        f"python -m tfp_flows.score --model={exported} --images=folder:NEW/PICTURES --out=scores.csv "
        f"--maps=maps"
    )
    page.text("Watch over what comes in day by day, and be told when it drifts:")
    page.code(f"python -m tfp_flows.monitor --scores=scores.csv --detector={detector} --out=monitor")
    page.text("Compare with other sets; the same for a finer look at one picture, in Python:")
    page.code(f"python -m tfp_flows.evaluate --run={run} --datasets=folder:OTHERS")
    page.code(
        "import tfp_flows\n"
        f'tfp_flows.detectors.load({str(found.folder)!r}).explain("photo.jpg")  # a figure in a notebook'
    )
