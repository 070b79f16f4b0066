"""A run judged on data sets: table, pictures and scores, in its folder."""

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfp_flows import data
from tfp_flows.distributions import ClassMixture
from tfp_flows.evaluation import by_class, drawing, inverse, kept
from tfp_flows.evaluation.likelihoods import compiled_estimate, log_probs
from tfp_flows.evaluation.table import WHY_NO_INTERVAL, Row, row_of, table
from tfp_flows.runs import Run, load_model

PROTOCOL_FILE = kept.PROTOCOL


def evaluate(
    run: Run,
    sets: Sequence[data.ImageSet],
    *,
    batch_size: int = 256,
    num_samples: int = 64,
    protocol: Any = None,
    progress: bool = True,
    temperature: float = 1.0,
) -> list[Row]:
    """Scores data sets under a run's model and writes table, pictures and scores.

    Writes into the run's `evaluation` folder: `bits_per_dim.csv`, `likelihoods.png` (histograms),
    `samples.png` and `samples.npz` (images that the model drew), `log_probs.npz` (every score),
    `protocol.json` (how they were computed) and, of a flow, `inverse.json` (how well its inverse is one).
    They show what earlier evaluations of other sets found too; see `kept`. Warns (`data.DataWarning`) of
    images that were trained on where they should not have been.

    Args:
      run: `runs.Run`.
      sets: List of `data.ImageSet`, the model's own test set first, as from `load_sets`.
      batch_size: Images scored at once.
      num_samples: Images to draw for `samples.png`; 0 for none.
      protocol: How log-probabilities are estimated, an instance of the family's `protocol_class`; None
        for its defaults.
      progress: Whether to show progress bars.
      temperature: Of the images that are drawn, see the model's `sample`.

    Returns:
      List of `Row`, in the order of `sets`.

    Raises:
      RunError: If the run has no model yet.
    """
    family = run.spec().model_family
    protocol = protocol or family.protocol_class()
    model, step = load_model(run, protocol)
    _warn_of_images_trained_on(run, sets)
    label_of = data.Labels([s.name for s in sets])
    labels = [label_of(s.name) for s in sets]
    told = [f"{label} ({s.split})" if progress else None for s, label in zip(sets, labels, strict=True)]
    judge = _judging(model, batch_size)
    judged = [judge(image_set, text) for image_set, text in zip(sets, told, strict=True)]
    values = [one.scores for one in judged]
    settings = dataclasses.asdict(protocol)
    text = " ".join(f"{key}={value}" for key, value in settings.items())
    rows = [
        row_of(s, one.scores, values[0] if i else None, one.error, label, step, text)
        for i, (s, label, one) in enumerate(zip(sets, labels, judged, strict=True))
    ]
    rows = [_with_labels(row, one.labelled, rows[0]) for row, one in zip(rows, judged, strict=True)]
    title = f"{run.spec().family} trained on {labels[0]}, {step:,} steps"
    kept.keep(run.evaluation, rows, values, _way(run, settings, sets[0]))
    description = json.dumps({"step": step, **settings}, indent=2) + "\n"
    kept.write_all(run.evaluation, title, sets[0].image_shape, description)
    draws = None
    if num_samples:
        draws = drawing.draw(
            run.evaluation, family, model, sets[0].images, num_samples, step, title, progress, temperature
        )
    inverse.write(run.evaluation, inverse.measured(model, sets[0].images, draws), step)
    return rows


class _Judged(NamedTuple):
    """log p of a set's images `[N]`, the mean standard error of one's estimate, and what its labels say."""

    scores: np.ndarray
    error: float | None = None
    labelled: by_class.Labelled | None = None


def _judging(model: Any, batch_size: int) -> Callable[[data.ImageSet, str | None], _Judged]:
    """Function of a set and what its progress is called."""
    if isinstance(model, ClassMixture):
        joint = by_class.compiled_joint(model)

        def by_classes(image_set: data.ImageSet, told: str | None) -> _Judged:
            found = log_probs(joint, image_set.images, batch_size, told)
            error = float(found[:, 1].mean())
            labelled = by_class.labelled(model, found[:, 2:], image_set)
            return _Judged(found[:, 0].copy(), None if np.isnan(error) else error, labelled)

        return by_classes
    estimate = compiled_estimate(model)

    def whole(image_set: data.ImageSet, told: str | None) -> _Judged:
        found = log_probs(estimate, image_set.images, batch_size, told)
        return _Judged(found) if found.ndim == 1 else _Judged(found[:, 0], float(found[:, 1].mean()))

    return whole


def _with_labels(row: Row, found: by_class.Labelled | None, own: Row) -> Row:
    """The row with what its labels say, where they are those of the model's own images."""
    if found is None or row.name != own.name:
        return row
    return dataclasses.replace(row, accuracy=found.accuracy, bits_per_dim_given_label=found.bits_per_dim)


def _way(run: Run, settings: dict[str, Any], own: data.ImageSet) -> str:
    """What must be the same for the numbers of two sets to be compared: model, protocol and own images."""
    keys = hashlib.sha256("\0".join(own.keys).encode("utf-8", "surrogateescape")).hexdigest()
    return json.dumps({"checkpoint": run.checkpoint_digest(), "protocol": settings, "own images": keys})


def _warn_of_images_trained_on(run: Run, sets: Sequence[data.ImageSet]) -> None:
    known = run.trained_on()
    for image_set in sets:
        seen = int(known.holds(image_set.images).sum()) if known and image_set.split != "train" else 0
        if seen:
            warnings.warn(
                f"{seen:,} of the {len(image_set):,} images of {image_set.name} ({image_set.split}) were "
                f"trained on, or are equal to one that was.",
                data.DataWarning,
                stacklevel=3,
            )


def report(run: Run, rows: Sequence[Row]) -> str:
    """The table of the rows, what it says, and where the files are, as text."""
    likelier = [
        row.dataset
        for row in rows[1:]
        if row.split != "train" and row.auroc_high is not None and row.auroc_high < 0.5
    ]
    lines = [table(rows), ""]
    if any(row.auroc is not None and row.auroc_low is None for row in rows):
        lines.append(WHY_NO_INTERVAL)
    if any(row.total not in (None, row.n) for row in rows):
        lines.append("n of N images: a fixed random sample of them.")
    if rows[0].estimate_se is not None:
        protocol = json.loads((run.evaluation / PROTOCOL_FILE).read_text(encoding="utf-8"))
        settings = ", ".join(f"{k} {v}" for k, v in protocol.items() if k != "step")
        lines.append(
            f"log p is an estimate ({settings}); the standard error of one image's is "
            f"{rows[0].estimate_se:.2f} nats on average ({rows[0].dataset})."
        )
    lines += _about_condition(run, rows[0])
    if likelier and (not run.exists() or run.spec().is_density):
        lines.append(
            f"The model finds these more likely than its own test images (AUROC below 0.5): "
            f"{', '.join(likelier)}."
        )
    measured = inverse.read(run)
    if measured is not None and measured[0] == rows[0].step:
        lines.append(inverse.line(measured[1]))
        samples = measured[1].get("samples")
        if samples is not None and samples.not_finite:
            lines.append(
                f"{samples.not_finite:,} of {samples.n:,} samples are not finite: black in samples.png, "
                f"wholly or in part (docs/inverse.md)."
            )
    earlier = len(kept.kept(run.evaluation)) - len(rows)
    others = f", with those of {earlier} evaluated earlier" if earlier > 0 else ""
    lines.append(f"The table, pictures and scores are in {run.evaluation}{others}.")
    return "\n".join(lines)


def _about_condition(run: Run, own: Row) -> list[str]:
    """What the model is given, and what follows; nothing where only rows are at hand."""
    if not run.exists():
        return []
    spec = run.spec()
    if spec.code_size:
        return [
            f"The model is given a code of each image, of {spec.code_size} numbers: log p(x | h(x)) is no "
            f"density of x, and not to be compared with one."
        ]
    if spec.low_resolution:
        return [
            "The model is given each image at half its resolution: log p(x | l(x)) is no density of x, and "
            "not to be compared with one."
        ]
    if spec.classes is None or own.accuracy is None or own.bits_per_dim_given_label is None:
        return []
    most = max(spec.classes.counts) / sum(spec.classes.counts)
    return [
        f"log p(x) = log sum_y p(y) p(x | y) over {len(spec.classes)} classes. Given its own label a test "
        f"image has {own.bits_per_dim_given_label:.3f} bits/dim; the label of largest p(y | x) is right for "
        f"{own.accuracy:.1%} of them (the most frequent one: {most:.1%})."
    ]
