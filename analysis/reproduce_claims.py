"""The paper's claims, each with a verdict and the number behind it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from analysis import comparison, reproduce_rows
from analysis.published_bits import IMAGENET32
from analysis.reproduce_sets import TITLES
from analysis.reproduce_work import Reproduction
from analysis.study import RunStudy

REPRODUCED, UNDECIDED, CONTRADICTED = "reproduced", "not at this scale", "contradicted"
REMEDIES = {
    "waic": "An ensemble finds them (WAIC)",
    "outlier_exposure": "Outlier exposure finds them",
    "likelihood_ratio": "The likelihood ratio with a background model finds them",
}


class Claim(NamedTuple):
    """A sentence of the paper or its slides, put to the test.

    Attributes:
      text: The sentence.
      verdict: `REPRODUCED`, `UNDECIDED` or `CONTRADICTED`.
      number: What the verdict rests on, or why there is nothing.
    """

    text: str
    verdict: str
    number: str


def claims(work: Reproduction, analysed: bool, detected: bool) -> list[Claim]:
    """Every claim.

    Args:
      work: `Reproduction`, whose stage evaluate is done.
      analysed: Whether the stage analyse is, too.
      detected: Likewise detect.
    """
    foreign = work.experiment.foreign
    found = [_fooled(work, name, foreign) for name in ("glow", "vae", "pixelcnn")]
    found += [_no_overfitting(work), _right_way_round(work), *_extra(work)]
    found.append(_fooled(work, "glow", "constant"))
    found.append(_volume(work))
    found.append(_fooled(work, "cv_glow", foreign, " though its volume is the same for all images"))
    if analysed:
        found += _of_analysis(work)
    if detected:
        found += list(_remedies(work))
    found += _seeds(work)
    if work.scale.name == "smoke":  # models so small and short contradict nothing
        found = [c._replace(verdict=UNDECIDED) if c.verdict == CONTRADICTED else c for c in found]
    return found


def verdict(low: float | None, high: float | None, claimed_above: bool, threshold: float = 0.5) -> str:
    """What an interval says of a claim: beyond the threshold as claimed, on the other side, or neither."""
    if low is None or high is None or np.isnan(low) or np.isnan(high):
        return UNDECIDED
    if low > threshold:
        return REPRODUCED if claimed_above else CONTRADICTED
    if high < threshold:
        return CONTRADICTED if claimed_above else REPRODUCED
    return UNDECIDED


def of_difference(value: float, error: float) -> str:
    """The verdict on a claim that a number is positive: beyond two standard errors of zero."""
    if np.isnan(value) or np.isnan(error):
        return UNDECIDED
    return {1: REPRODUCED, -1: CONTRADICTED, 0: UNDECIDED}[comparison.sign(value, error)]


def _fooled(work: Reproduction, name: str, key: str, more: str = "") -> Claim:
    recipe = work.model(name).recipe
    text = (
        f"{reproduce_rows.title(recipe)}, trained on {TITLES[recipe.dataset.key]}, "
        f"finds {TITLES[key]} likelier{more}"
    )
    return _of_auroc(work, name, key, text, claimed_above=False)


def _of_auroc(work: Reproduction, name: str, key: str, text: str, claimed_above: bool) -> Claim:
    missing = work.why_not(name, key)
    if missing:
        return Claim(text, UNDECIDED, missing)
    other = reproduce_rows.ours(work, name, key)
    own = reproduce_rows.ours(work, name, work.model(name).recipe.dataset.key)
    assert other is not None and own is not None and other.auroc is not None
    _, low, high = other.auroc
    bits = f"{other.bits:.3f} against {own.bits:.3f} bits/dim"
    number = f"AUROC of -log P {reproduce_rows.spoken(other.auroc)}; {bits}"
    return Claim(text, verdict(low, high, claimed_above), number)


def _right_way_round(work: Reproduction) -> Claim:
    name = next(m.name for m in work.judged() if m.recipe.dataset.key == work.experiment.foreign)
    own, foreign = TITLES[work.experiment.own], TITLES[work.experiment.foreign]
    text = f"Trained on {foreign}, the order is right: {own} is less likely"
    return _of_auroc(work, name, work.experiment.own, text, claimed_above=True)


def _extra(work: Reproduction) -> list[Claim]:
    found = []
    for name, key, judged in work.experiment.extra:
        assert key in ("celeb_a", IMAGENET32)
        found += [_fooled(work, name, other) for other in judged]
    return found


def _no_overfitting(work: Reproduction) -> Claim:
    own, foreign = work.experiment.own, work.experiment.foreign
    text = f"It is no overfitting: {TITLES[foreign]} is likelier than the training images, too"
    missing = work.why_not("glow", foreign)
    if missing:
        return Claim(text, UNDECIDED, missing)
    train, test, other = (
        work.bits("glow", key, split) for key, split in ((own, "train"), (own, "test"), (foreign, "test"))
    )
    error = np.hypot(train.std() / np.sqrt(len(train)), other.std() / np.sqrt(len(other)))
    number = (
        f"training images {train.mean():.3f}, test images {test.mean():.3f}, "
        f"{TITLES[foreign]} {other.mean():.3f} bits/dim"
    )
    return Claim(text, of_difference(train.mean() - other.mean(), error), number)


def _volume(work: Reproduction) -> Claim:
    foreign = work.experiment.foreign
    text = "The volume term, not the latent's density, makes the difference (NVP-Glow)"
    missing = work.why_not("glow", foreign)
    if missing:
        return Claim(text, UNDECIDED, missing)
    study = work.study("glow")
    own, other = study.terms(study.spec.dataset), study.terms(work.set_name("glow", foreign))
    volume, latent = (
        other.log_det.mean() - own.log_det.mean(),
        other.log_prob_z.mean() - own.log_prob_z.mean(),
    )
    number = f"{volume:+,.0f} nats from the volume, {latent:+,.0f} from the latent"
    if volume + latent <= 0:
        return Claim(text, UNDECIDED, f"{number}: it is not likelier")
    of_volume, of_both = (
        float(np.hypot(*(values.std() / np.sqrt(len(values)) for values in of_sets)))
        for of_sets in (
            [terms.log_det for terms in (own, other)],
            [terms.log_det - terms.log_prob_z for terms in (own, other)],
        )
    )
    verdicts = {of_difference(volume, of_volume), of_difference(volume - latent, of_both)}
    if CONTRADICTED in verdicts:
        return Claim(text, CONTRADICTED, number)
    return Claim(text, UNDECIDED if UNDECIDED in verdicts else REPRODUCED, number)


def _of_analysis(work: Reproduction) -> list[Claim]:
    found = []
    foreign = work.experiment.foreign
    for name, title in (("cv_glow", "CV-Glow"), ("glow", "NVP-Glow")):
        for make, text in (
            (_sign, f"From variances alone, the second-order term has the observed sign ({title})"),
            (_contrast, f"Less contrast makes own images likelier ({title})"),
        ):
            missing = work.why_not(name, foreign)
            found.append(Claim(text, UNDECIDED, missing) if missing else make(work, work.study(name), text))
    missing = work.why_not("glow", foreign)
    text = f"{TITLES[foreign]} has smaller variance, which is what the expansion sees"
    found.append(Claim(text, UNDECIDED, missing) if missing else _variance(work, work.study("glow"), text))
    return found


def _sign(work: Reproduction, study: RunStudy, text: str) -> Claim:
    """As the paper has it, from variances alone; the whole expansion is said beside it."""
    value = study.comparison(work.set_name(study.name, work.experiment.foreign))
    measured = comparison.sign(value.measured, value.measured_se)
    predicted, whole = comparison.sign(value.trace_exact), comparison.sign(value.second_order_total)
    number = (
        f"measured {value.measured:+,.0f} nats; from variances {value.trace_exact:+,.0f}, the whole "
        f"expansion {value.second_order_total:+,.0f}{'' if whole == measured else ' (another sign)'}"
    )
    if measured == 0:
        return Claim(text, UNDECIDED, number)
    return Claim(text, REPRODUCED if predicted == measured else CONTRADICTED, number)


def _contrast(work: Reproduction, study: RunStudy, text: str) -> Claim:
    sweep = study.contrast(study.spec.dataset)
    half, full = (int(np.argmin(abs(sweep.contrasts - k))) for k in (0.5, 1.0))
    difference = float(sweep.measured[half] - sweep.measured[full])
    error = float(np.hypot(sweep.measured_se[half], sweep.measured_se[full]))
    number = f"at half contrast {difference:+,.0f} nats (s.e. {error:,.0f})"
    return Claim(text, of_difference(difference, error), number)


def _variance(work: Reproduction, study: RunStudy, text: str) -> Claim:
    own = study.training_moments.channel_variance / 255**2
    other = study.moments(work.set_name("glow", work.experiment.foreign), "test").channel_variance / 255**2
    number = "{} against {} (of [0, 1] pixels, by channel)".format(
        *(", ".join(f"{v:.4f}" for v in values) for values in (other, own))
    )
    if np.all(other < own):
        return Claim(text, REPRODUCED, number)
    return Claim(text, CONTRADICTED if np.all(other > own) else UNDECIDED, number)


def _remedies(work: Reproduction) -> Iterator[Claim]:
    results = {result.candidate.kind.name: result for result in work.results()}
    for name, text in REMEDIES.items():
        if name not in results:
            yield Claim(text, UNDECIDED, "its models are missing")
            continue
        area = results[name].separation.auroc
        number = f"AUROC {reproduce_rows.spoken((area.value, area.low, area.high))}"
        yield Claim(text, verdict(area.low, area.high, claimed_above=True), number)


def _seeds(work: Reproduction) -> list[Claim]:
    models = [model for model in work.headline() if not work.why_not(model.name, work.experiment.foreign)]
    if len(models) < 2:
        return []
    areas = [work.auroc(model.name, work.experiment.foreign) for model in models]
    values = [area[0] for area in areas]
    each = {verdict(low, high, claimed_above=False) for _, low, high in areas}
    number = f"AUROC {np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} over {len(values)} seeds"
    text = "It does not depend on the seed"
    if {REPRODUCED, CONTRADICTED} <= each:
        return [Claim(text, CONTRADICTED, number)]
    return [Claim(text, UNDECIDED if UNDECIDED in each else REPRODUCED, number)]
