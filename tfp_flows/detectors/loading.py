"""Reads a detector that `saving.save` wrote."""

import contextlib
import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfp_flows import runs
from tfp_flows.detectors import soundness
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.registry import DETECTORS
from tfp_flows.detectors.saving import ARRAYS, CALIBRATION, DESCRIPTION, FORMAT, STATISTICS
from tfp_flows.distributions.protocols import DensityModel


def load(
    path: str | os.PathLike[str], model: DensityModel | Sequence[DensityModel] | None = None
) -> Detector:
    """Reads a detector that `save` wrote. Nothing is executed but TensorFlow graphs.

    Args:
      path: Its folder.
      model: The density model (for an ensemble or a ratio: the list of models) to use instead of the stored
        one, such as a run that has moved.

    Returns:
      `Detector`.

    Raises:
      DetectorError: If there is none, it is damaged, or its run is gone or was trained further.
    """
    path = pathlib.Path(path)
    try:
        description = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        arrays = _read_arrays(path / ARRAYS)
        if description["format"] != FORMAT:
            raise DetectorError(
                f"load: {path} has format {description['format']}, but this version reads format {FORMAT}."
            )
        kind = DETECTORS.get(description["detector"])
        settings, shape = dict(description["settings"]), tuple(description["image_shape"])
        references = description["models"]
    except FileNotFoundError as error:
        raise DetectorError(f"load: no detector in {path} (it has no {error.filename}).") from error
    except DetectorError:
        raise
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DetectorError(f"load: the detector in {path} is damaged: {error}.") from error
    if kind is None:
        raise DetectorError(
            f"load: unknown detector {description['detector']!r}; there are {', '.join(DETECTORS)}."
        )
    detector = _make(kind, settings, _models(references, path, model), path)
    detector.image_shape = shape
    scores = arrays.pop(CALIBRATION, None)
    detector.fitted = arrays
    detector.formula.check_fitted()
    with _damage(path, "its fitted"):
        soundness.check_fitted(detector, detector.formula, detector.statistics.stored_size())
    if scores is not None:
        with _damage(path, "its calibration scores"):
            soundness.check_calibration(scores)
    detector.calibration_scores = scores
    return detector


@contextlib.contextmanager
def _damage(path: pathlib.Path, what: str) -> Iterator[None]:
    """Has a `DetectorError` say of which folder, and of what in it, it speaks."""
    try:
        yield
    except DetectorError as error:
        raise DetectorError(f"load: the detector in {path} is damaged: {what} {error}.") from error


def _models(
    references: list[dict] | None,
    path: pathlib.Path,
    model: DensityModel | Sequence[DensityModel] | None,
) -> list[DensityModel] | None:
    if model is not None:
        return list(model) if isinstance(model, Sequence) else [model]
    if references is None:
        return None
    try:
        return [runs.RunReference.from_json(r, path).load_model() for r in references]
    except (KeyError, TypeError) as error:
        raise DetectorError(f"load: the detector in {path} is damaged: {error}.") from error


def _make(
    kind: type[Detector], settings: dict, density_models: list[DensityModel] | None, path: pathlib.Path
) -> Detector:
    try:
        if density_models is not None:
            return kind.of_models(density_models, settings)
        return kind.of_statistics(_load_statistics(path / STATISTICS), settings)
    except DetectorError:
        raise
    except (TypeError, ValueError) as error:
        raise DetectorError(f"load: the detector in {path} cannot be made: {error}.") from error


def _load_statistics(folder: pathlib.Path) -> Callable[[tf.Tensor], tf.Tensor]:
    try:
        loaded = tf.saved_model.load(str(folder))
        statistics = loaded.statistics
    except (OSError, AttributeError, ValueError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DetectorError(f"load: {folder} cannot be read: {reason}") from error
    statistics.keep_alive = loaded  # its variables live no longer than it does
    return statistics


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)
