"""The model card of an exported model: what it is, what it was trained on, how sure its numbers are."""

import csv
import pathlib
from collections.abc import Iterator

import numpy as np

from tfp_flows import data
from tfp_flows.detectors import Detector, calibration
from tfp_flows.evaluation import inverse
from tfp_flows.models import Family
from tfp_flows.runs import Run, RunSpec

ALPHA = 0.05
HEAD = """\
# {family} over {shape} images, trained on {dataset}

A density model exported by tfp_flows {version}. `log_prob` is in nats for a whole image
of integer grey levels 0..255{bound}; `bits_per_dim` is -log_prob / ({dimensions} ln 2).

**A high likelihood does not mean that an image is of the kind that the model was trained on**: density
models give higher ones to simpler images (Nalisnick et al., ICLR 2019). {instead}
"""
BOUND = ": a lower bound, from noise of a fixed seed ({seed})"
NO_DETECTOR = "This export has no detector."
USE_THE_DETECTOR = "Use the `score`\nand the `p_value`."
DETECTOR = """\
## Detector

`{name}`{settings}: a higher score is more out of
distribution. {calibrated}
{maps}
"""
MAPS = "`score_map` says where in an image the score comes from: `map`, `[B, H, W]`."
NO_MAPS = "There are no heat maps of this score here."
CALIBRATED = """\
Calibrated with {count:,} held-out images: an image
of the same kind has a p-value of at most alpha with a probability of at most alpha; {level}."""
NOT_CALIBRATED = """\
It was not calibrated: there are
no p-values."""


def model_card(
    run: Run,
    step: int,
    family: Family,
    detector: Detector | None,
    seed: int,
    versions: dict[str, str | None],
    has_maps: bool,
) -> str:
    """The card as Markdown.

    Args:
      run: `runs.Run` of the model.
      step: The step it was trained to.
      family: Its `Family`.
      detector: `detectors.Detector` that is exported with it, or None.
      seed: Of the noise in `log_prob`.
      versions: dict from package to version.
      has_maps: Whether the export has `score_map`.

    Returns:
      Text.
    """
    spec = run.spec()
    head = HEAD.format(
        family=family.name,
        shape="x".join(map(str, spec.image_shape)),
        dataset=data.short(spec.dataset),
        version=versions["tfp-flows"],
        bound=BOUND.format(seed=seed) if family.noisy else "",
        dimensions=int(np.prod(spec.image_shape)),
        instead=NO_DETECTOR if detector is None else USE_THE_DETECTOR,
    )
    chapters = [head, "\n".join(["## Training", "", *_training(run, spec, step), ""])]
    evaluation = _rows(run.evaluation / "bits_per_dim.csv")
    if evaluation:
        lines = [*_evaluation(evaluation, step), *_inverse(run, step)]
        chapters.append("\n".join(["## Evaluation", "", *lines, ""]))
    if detector is not None:
        chapters.append(of_detector(detector, has_maps))
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return "\n".join([*chapters, f"## Versions\n\n{named}\n"])


def _training(run: Run, spec: RunSpec, step: int) -> Iterator[str]:
    """The lines of the table of training."""
    training = spec.training
    yield from ("| | |", "| --- | --- |", f"| data | {spec.dataset} |")
    preparation = spec.preparation.text
    if preparation:
        yield f"| pictures are prepared by | {preparation} |"
    yield f"| steps | {step:,} of {training['steps']:,} |"
    yield f"| batch size | {training['batch_size']} |"
    yield f"| seed | {training['seed']} |"
    if spec.classes is not None:
        yield f"| given | the class of an image: {', '.join(map(data.printable, spec.classes.names))} |"
    if spec.code_size:
        yield f"| given | a code of the image, of {spec.code_size} numbers: `log_prob` is no density |"
    if spec.low_resolution:
        yield "| given | the image at half its resolution: `log_prob` is no density |"
    for key, value in spec.to_json()["model"].items():
        if value is not None and key != "seed":
            yield f"| {key} | {value} |"
    validation = _last_validation(run)
    if validation is not None:
        yield f"| validation | {validation:.4f} bits/dim |"


def _evaluation(rows: list[dict[str, str]], step: int) -> Iterator[str]:
    """The lines of the table of evaluation; a set that was judged at another step says so."""
    yield from ("| images | split | n | bits/dim | AUROC of -log_prob |", "| --- | --- | --- | --- | --- |")
    for row in rows:
        auroc = f"{float(row['auroc']):.3f}" if row["auroc"] else ""
        bits = float(row["bits_per_dim"])
        judged = row.get("step") or str(step)  # version 0.1 did not write it here
        at = "" if judged == str(step) else f" (at step {int(judged):,})"
        yield f"| {row['dataset']}{at} | {row['split']} | {row['n']} | {bits:.3f} | {auroc} |"


def _inverse(run: Run, step: int) -> Iterator[str]:
    """How well the inverse is one, where it was measured."""
    found = inverse.read(run)
    if found is not None:
        at = "" if found[0] == step else f" (At step {found[0]:,}.)"
        yield from ("", inverse.line(found[1]) + at)


def of_detector(detector: Detector, has_maps: bool) -> str:
    """The chapter on the detector, as Markdown; `has_maps` as of `model_card`."""
    settings = ", ".join(f"{key} {value}" for key, value in detector.settings.items())
    calibrated, scores = NOT_CALIBRATED, detector.calibration_scores
    if scores is not None:
        level = calibration.level_text(ALPHA, scores)
        calibrated = CALIBRATED.format(count=len(scores), level=level)
    return DETECTOR.format(
        name=detector.name,
        settings=settings and f" ({settings})",
        calibrated=calibrated,
        maps=MAPS if has_maps else NO_MAPS,
    )


def _last_validation(run: Run) -> float | None:
    values = [row["validation_bits_per_dim"] for row in _rows(run.metrics_file)]
    return next((float(value) for value in reversed(values) if value), None)


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
