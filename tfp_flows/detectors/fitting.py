"""Detectors of trained runs: made of their models, fitted and calibrated with their held-out images."""

import os
from collections.abc import Mapping, Sequence

from tfp_flows import data
from tfp_flows.detectors.critics import Critics
from tfp_flows.detectors.detector import Detector
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
    progress: bool = False,
) -> int:
    """Fits a detector to a run's validation images, and calibrates it with its calibration images.

    Neither was trained on, and no other image is seen.

    Args:
      detector: To be fitted; changed.
      spec: Of the run.
      data_dir: As for `data.load`.
      download: As for `data.load`.
      max_images: Of either split, at most.
      progress: Whether to show progress bars.

    Returns:
      How many images it was fitted to.

    Raises:
      DataError: If the images are not to be had.
      DetectorError: If they are too few.
    """
    validation, calibration = (
        data.load(
            spec.dataset,
            split,
            data_dir=data_dir,
            download=download,
            image_shape=spec.image_shape,
            max_images=max_images,
        )
        for split in ("validation", "calibration")
    )
    detector.fit(validation, "fit" if progress else None)
    detector.calibrate(calibration, "calibrate" if progress else None)
    return len(validation)
