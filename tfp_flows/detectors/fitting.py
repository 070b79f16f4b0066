"""Detectors of trained runs: made of their models, fitted and calibrated with their held-out images."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfp_flows import data
from tfp_flows.data import names
from tfp_flows.detectors import calibration
from tfp_flows.detectors.critics import Critics
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.registry import DETECTORS
from tfp_flows.runs import Run, RunSpec, load_model


def of_runs(name: str, runs: Sequence[Run], settings: Mapping[str, object]) -> Detector:
    """The detector of the models of these runs.

    Args:
      name: One of `DETECTORS`. Critics have a model of their own, and take the shape of its images alone.
      runs: The model's run first; then an ensemble's other members, or a ratio's backgrounds.
      settings: Constructor arguments of the detector.

    Raises:
      DetectorError: If it takes another number of models, or a setting makes no sense.
      TypeError: If it has no such setting.
      RunError: If a run has no model.
    """
    kind = DETECTORS[name]
    if kind is Critics:
        return kind.of_models([], {"image_shape": runs[0].spec().image_shape, **settings})
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
    progress: bool = False,
) -> int:
    """Fits a detector to a run's validation images, and calibrates it with its calibration images.

    Neither was trained on, and no other image is seen, but for those of `calibrate_on`.

    Args:
      detector: To be fitted; changed.
      spec: Of the run.
      data_dir: As for `data.load`.
      download: As for `data.load`.
      max_images: To fit to, and to calibrate with, at most.
      calibrate_on: Name of a set in the run's shape to calibrate with instead, as a whole: images of the
        model's own kind that it was not trained on. None for the run's calibration split.
      alpha: A level that p-values must be able to reach; None for any. It is looked at before any
        image is scored.
      progress: Whether to show progress bars.

    Returns:
      How many images it was fitted to.

    Raises:
      DataError: If the images are not to be had.
      DetectorError: If they are too few, or the model was trained on them.
    """
    where: dict[str, Any] = dict(data_dir=data_dir, download=download, image_shape=spec.image_shape)
    validation = data.load(spec.dataset, "validation", max_images=max_images, **where)
    if calibrate_on is None:
        held_out = data.load(spec.dataset, "calibration", max_images=max_images, **where).images
    else:
        _refuse_own(calibrate_on, spec)
        held_out = _whole(calibrate_on, where)[:max_images]
    if alpha is not None:
        calibration.need_level(alpha, len(held_out))
    detector.fit(validation, "fit" if progress else None)
    detector.calibrate(held_out, "calibrate" if progress else None)
    return len(validation)


def _refuse_own(name: str, spec: RunSpec) -> None:
    """Refuses the run's own set: as a whole it holds the images that were trained on."""
    if names.same_source(name, spec.dataset):
        raise DetectorError(
            f"`calibrate_on`: the model was trained on images of {name}; give others of the same kind, or "
            f"leave it out to take those that were held out."
        )


def _whole(name: str, where: Mapping[str, Any]) -> np.ndarray:
    """All images of a set, uint8 `[N, H, W, C]`, in an order of chance: its first ones are a fair sample."""
    if names.parse_name(name)[0].kind in names.SYNTHETIC_KINDS:
        images = data.load(name, "test", **where).images
    else:
        images = np.concatenate([data.load(name, split, **where).images for split in data.SPLITS])
    return np.random.default_rng(0).permutation(images)
