"""Detectors of trained runs: made of their models, fitted and calibrated with their held-out images."""

import dataclasses
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfp_flows import data
from tfp_flows.data import names
from tfp_flows.detectors import calibration
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.divisions import check_divisions
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.registry import DETECTORS
from tfp_flows.runs import Run, RunSpec, TrainedOn, load_model


@dataclasses.dataclass(frozen=True)
class Used:
    """How many images a detector was made of.

    Attributes:
      fit: It was fitted to.
      calibration: It was calibrated with.
      fit_total: Of how many `fit` is a fixed random sample.
      calibration_total: Likewise.
      fit_split: "training" or "validation": the images that it was fitted to.
      training: How many images that were trained on it took besides, for what it asks without a model.
    """

    fit: int
    calibration: int
    fit_total: int
    calibration_total: int
    fit_split: str = "validation"
    training: int = 0


def of_runs(name: str, runs: Sequence[Run], settings: Mapping[str, object]) -> Detector:
    """The detector of the models of these runs.

    Args:
      name: One of `DETECTORS`. Those that need no model take the shape of the run's images alone.
      runs: The model's run first; then an ensemble's other members, or a ratio's backgrounds.
      settings: Constructor arguments of the detector.

    Raises:
      DetectorError: If it takes another number of models, or a setting makes no sense.
      TypeError: If it has no such setting.
      RunError: If a run has no model.
    """
    kind = DETECTORS[name]
    if not kind.needs_model:
        return kind.of_models([], {"image_shape": runs[0].spec().image_shape, **settings})
    check_divisions(runs)
    return kind.of_models([load_model(run)[0] for run in runs], dict(settings))


def fit_and_calibrate(
    detector: Detector,
    spec: RunSpec,
    *,
    data_dir: str | os.PathLike | None = None,
    download: bool = False,
    max_images: int | None = None,
    calibrate_on: str | None = None,
    alpha: float | None = None,
    trained_on: Sequence[TrainedOn | None] = (),
    progress: bool = False,
) -> Used:
    """Fits a detector to a run's validation images, and calibrates it with its calibration images.

    Neither was trained on, and no other image is seen, but for those of `calibrate_on`. Images that were
    trained on all the same, such as files that have been renamed, are left out, with a warning. A detector
    that looks at no model may be fitted to training images instead: see `Hooks.fit_split`; and what one asks
    without a model, to those besides: see `Hooks.most_training_images`.

    Args:
      detector: To be fitted; changed.
      spec: Of the run.
      data_dir: As for `data.load`.
      download: As for `data.load`.
      max_images: To fit to, and to calibrate with, at most: a fixed random sample of either.
      calibrate_on: Name of a set in the run's shape to calibrate with instead, as a whole: images of the
        model's own kind that it was not trained on; those that the detector is fitted to are left out. A
        name without operations of its own gets those of the run. None for the run's calibration split.
      alpha: A level that p-values must be able to reach; None for any. It is looked at before any
        image is scored.
      trained_on: What the runs of the detector's models were trained on, as far as they say.
      progress: Whether to show progress bars.

    Returns:
      How many images were used.

    Raises:
      DataError: If the images are not to be had.
      DetectorError: If they are too few, or the model was trained on them.
    """
    where: dict[str, Any] = dict(data_dir=data_dir, download=download, image_shape=spec.image_shape)
    where.update(division=spec.division, skip_unreadable=spec.skip_unreadable)
    most = max_images or detector.most_fit_images
    fitted_to = data.load(spec.dataset, detector.fit_split, max_images=most, **where)
    if calibrate_on is None:
        held_out = data.load(spec.dataset, "calibration", max_images=max_images, **where)
    else:
        _refuse_own(calibrate_on, spec)
        where["preparation"] = spec.preparation
        held_out = data.load(calibrate_on, data.ALL, max_images=max_images, **where)
    held_out = _not_trained_on(held_out, trained_on)
    if detector.fit_split != "train":
        fitted_to = _not_trained_on(fitted_to, trained_on)
    if calibrate_on is not None:
        held_out = _not_trained_on(
            held_out, [TrainedOn.of(fitted_to.images)], "are among those that the detector is fitted to"
        )
    if alpha is not None:
        calibration.need_level(alpha, len(held_out))
    training, most = None, min(max_images or detector.most_training_images, detector.most_training_images)
    if most > len(fitted_to):
        where.pop("preparation", None)
        training = data.load(spec.dataset, "train", max_images=most, **where)
        training = training if len(training) > len(fitted_to) else None
    detector.fit(fitted_to, "fit" if progress else None, training)
    detector.calibrate(held_out.images, "calibrate" if progress else None)
    detector.preparation = spec.preparation
    fit_total, calibration_total = (images.total or len(images) for images in (fitted_to, held_out))
    called = "training" if detector.fit_split == "train" else detector.fit_split
    num_training = 0 if training is None else len(training)
    return Used(len(fitted_to), len(held_out), fit_total, calibration_total, called, num_training)


def _not_trained_on(
    images: data.ImageSet, trained_on: Sequence[TrainedOn | None], what: str = "were trained on"
) -> data.ImageSet:
    """The images without those that equal one of `trained_on`; `what` says of them why."""
    seen = np.any([known.holds(images.images) for known in trained_on if known], axis=0)
    if not np.any(seen):
        return images
    count = f"{np.count_nonzero(seen):,} of the {len(images):,} {images.split} images of {images.name}"
    if np.all(seen):
        raise DetectorError(f"{count} {what}: none is left to fit or to calibrate with.")
    warnings.warn(f"{count} {what}, and are left out.", data.DataWarning, stacklevel=3)
    return dataclasses.replace(images.select(np.flatnonzero(~seen)), total=images.total)


def _refuse_own(name: str, spec: RunSpec) -> None:
    """Refuses the run's own set: as a whole it holds the images that were trained on."""
    if names.same_source(name, spec.dataset):
        raise DetectorError(
            f"`calibrate_on`: the model was trained on images of {name}; give others of the same kind, or "
            f"leave it out to take those that were held out."
        )
