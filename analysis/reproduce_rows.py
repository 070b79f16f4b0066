"""The rows of the paper, ours beside the published ones; where a row is missing it says why."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis import published, published_bits, reproduce_sets
from analysis.reproduce_recipes import Recipe
from analysis.reproduce_sets import TITLES, Named
from analysis.reproduce_training import GIVEN, Model
from analysis.reproduce_work import GREY, Reproduction
from tfp_flows.pages.page import Row

FAMILIES = {"glow": "Glow", "vae": "VAE", "pixelcnn": "PixelCNN"}


@dataclasses.dataclass(frozen=True)
class Ours:
    """What we found for one row.

    Attributes:
      bits: Mean bits per dimension.
      error: Its standard error; None of a single image.
      images: How many.
      auroc: (AUROC of -log P, low, high), None for the model's own images.
    """

    bits: float
    error: float | None
    images: int
    auroc: tuple[float, float | None, float | None] | None


def ours(work: Reproduction, name: str, key: str, split: str = "test") -> Ours | None:
    """What we found; None where the model or the set is missing."""
    if work.why_not(name, key):
        return None
    values = work.bits(name, key, split)
    own = key == work.model(name).recipe.dataset.key
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Ours(float(values.mean()), error, len(values), None if own else work.auroc(name, key))


def rows(work: Reproduction) -> list[Row]:
    """A row for each model and each set that it is judged on."""
    found = []
    for model in work.judged():
        recipe = model.recipe
        own = recipe.dataset.key
        found.append(_row(work, model, recipe.dataset, "train"))
        found.append(_row(work, model, recipe.dataset, "test"))
        found += [_row(work, model, named, "test") for named in recipe.others if named.key != own]
        if recipe.name == "glow":
            found.append(_row(work, model, Named(GREY, GREY), "test"))
    return found


def _row(work: Reproduction, model: Model, named: Named, split: str) -> Row:
    recipe = model.recipe
    known = None
    if not recipe.name.startswith("cv_"):
        known = published_bits.bits_of(recipe.family, recipe.dataset.key, named.key, split)
    result = ours(work, model.name, named.key, split)
    row: Row = {
        "model": title(recipe),
        "learned": TITLES[recipe.dataset.key],
        "judged on": TITLES[named.key] + (" (train)" if split == "train" else ""),
        "published": "" if known is None or known.bits is None else known.bits,
        "how sure": "" if known is None else published_bits.SOURCES[known.source],
        "ours": "",
        "± s.e.": "",
        "AUROC [95 %]": "",
        "images": "",
        "seed": recipe.seed,
        "steps": "",
        "data": work.data_note(named),
        "remark": work.why_not(model.name, named.key),
    }
    if result is not None:
        training = work.study(model.name).spec.training
        row |= {
            "ours": result.bits,
            "± s.e.": "" if result.error is None else result.error,
            "images": result.images,
        }
        row |= {"seed": training["seed"], "steps": training["steps"]}
        row["AUROC [95 %]"] = spoken(result.auroc)
        row["remark"] = "a run that was given" if model.origin == GIVEN else ""
    return row


def title(recipe: Recipe) -> str:
    """What a model is called in tables."""
    if recipe.name == "cv_glow":
        return "CV-Glow"
    return FAMILIES[recipe.family]


def spoken(auroc: tuple[float, float | None, float | None] | None) -> str:
    """An AUROC with its interval, where it has one."""
    if auroc is None:
        return ""
    value, low, high = auroc
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def spread(work: Reproduction) -> list[Row]:
    """Mean and spread over seeds of the headline rows; none where there is one seed."""
    own, foreign = work.experiment.own, work.experiment.foreign
    models = [model for model in work.headline() if not work.why_not(model.name, foreign)]
    if len(models) < 2:
        return []
    series: dict[str, list[float]] = {
        f"{TITLES[own]}, bits/dim": [float(work.bits(m.name, own).mean()) for m in models],
        f"{TITLES[foreign]}, bits/dim": [float(work.bits(m.name, foreign).mean()) for m in models],
        f"AUROC of -log P, {TITLES[foreign]}": [work.auroc(m.name, foreign)[0] for m in models],
    }
    return [
        {
            "number": label,
            "seeds": ", ".join(str(m.recipe.seed) for m in models),
            "each": ", ".join(f"{value:.3f}" for value in values),
            "mean": float(np.mean(values)),
            "standard deviation": float(np.std(values, ddof=1)),
        }
        for label, values in series.items()
    ]


def variances(work: Reproduction) -> list[Row]:
    """1000 x the variance of [0, 1] pixels by channel, the published ones and ours, with the split."""
    if work.why_not("glow", work.experiment.foreign):
        return []
    study = work.study("glow")
    found = []
    for key in (work.experiment.own, work.experiment.foreign):
        name = work.set_name("glow", key)
        splits = {"test": study.moments(name, "test")}
        if key == work.experiment.own:
            splits = {"train": study.training_moments, **splits}
        for split, moments in splits.items():
            published = published_bits.VARIANCES.get(key)
            found.append(
                {
                    "set": f"{TITLES[key]} ({split})",
                    "published": "" if published is None else _listed(published),
                    "ours": _listed((1000 * moments.channel_variance / 255**2).tolist()),
                    "data": work.data_note(Named(key, name)),
                }
            )
    return found


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def remedies(work: Reproduction) -> list[Row]:
    """What each score makes of the foreign set, beside what was published of it."""
    own, foreign = work.experiment.own, work.experiment.foreign
    found = []
    for result in work.results():
        candidate, area = result.candidate, result.separation.auroc
        numbers = published.numbers(candidate.kind.name, own, foreign)
        said = [f"{n.auroc:.3f} ({n.model}, {n.who}; {published.SOURCES[n.source]})" for n in numbers]
        found.append(
            {
                "score": candidate.title,
                "model": candidate.run,
                "AUROC [95 %]": spoken((area.value, area.low, area.high)),
                "images": " / ".join(f"{count:,}" for count in result.counts),
                "published": "; ".join(said),
            }
        )
    return found


def budgets(work: Reproduction) -> list[Row]:
    """What each model is, and what its training took."""
    return [_budget(work, model) for model in work.models]


def _budget(work: Reproduction, model: Model) -> Row:
    recipe = model.recipe
    there = work.has(model.name)
    training: dict[str, Any] = model.run.spec().training if there else {}
    took = "" if model.seconds is None else f"{model.seconds / 60:.1f}"
    return {
        "model": model.name,
        "family": FAMILIES[recipe.family],
        "learned": recipe.dataset.name,
        "flag file": recipe.flag_file if model.origin != GIVEN else "",
        "changes": " ".join(recipe.changes) if model.origin != GIVEN else "",
        "seed": training.get("seed", recipe.seed),
        "steps": training.get("steps", ""),
        "minutes": took,
        "run": f"given: {model.run.folder.name}"
        if model.origin == GIVEN
        else "trained here"
        if there
        else "",
        "remark": model.missing,
    }


def data_labels(work: Reproduction) -> list[str]:
    """Lines that say which images stand for which set, how many there are, and what is said of them."""
    named = {n for model in work.models for n in (model.recipe.dataset, *model.recipe.others)}
    lines = []
    for one in sorted(named):
        if one.key not in reproduce_sets.OFFICIAL:
            continue
        note = reproduce_sets.remark(one, work.config.data_dir)
        lines.append(f"{TITLES[one.key]}: {work.data_note(one)}{f'. {note}' if note else ''}")
    return list(dict.fromkeys(lines))
