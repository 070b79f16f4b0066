"""The detector of a run, RUN/detector: read where it is there, or fitted, calibrated and saved."""

import os
from typing import Any

from tfp_flows import detectors, runs
from tfp_flows.checks.errors import UserError

FOLDER = "detector"


def read(run: runs.Run) -> detectors.Detector | None:
    """The detector in RUN/detector; None where there is none that is whole, calibrated and of this model.

    Of several models the first must be this one; a detector that looks at none, at images of its shape.
    """
    folder = run.folder / FOLDER
    if not folder.is_dir():
        return None
    try:
        detector = detectors.load(folder)
        known = [getattr(model, "run_reference", None) for model in detector.models]
        if detector.needs_model:
            of_this = bool(known) and known[0] is not None and known[0].digest == run.checkpoint_digest()
        else:
            of_this = detector.image_shape == run.spec().image_shape
    except UserError:  # it is damaged, or the run was trained further: there is none to use
        return None
    return detector if of_this and detector.calibration_scores is not None else None


def make(
    run: runs.Run,
    spec: runs.RunSpec,
    name: str,
    *,
    data_dir: str | os.PathLike | None = None,
    download: bool = False,
    max_images: int | None = None,
    progress: bool = True,
) -> tuple[detectors.Detector, detectors.Used]:
    """Fits a detector to the run's own images, calibrates it and saves it to RUN/detector.

    Args:
      run: A trained run.
      spec: The run's, its data where they are now.
      name: One of `detectors.names.NAMES` that takes one model.
      data_dir: As for `data.load`.
      download: As for `data.load`.
      max_images: To fit to, and to calibrate with, at most; None for all.
      progress: Whether to show progress bars.

    Raises:
      DetectorError: If it cannot be made of the run.
      DataError: If validation or calibration images are not to be had.
    """
    detectors.description.check_out(run.folder / FOLDER)
    detector = detectors.of_runs(name, [run], {})
    where: dict[str, Any] = dict(data_dir=data_dir, download=download, max_images=max_images)
    used = detectors.fit_and_calibrate(
        detector, spec, **where, trained_on=[run.trained_on()], progress=progress
    )
    detector.save(run.folder / FOLDER)
    return detector, used
