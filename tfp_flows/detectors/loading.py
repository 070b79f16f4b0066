"""Reads a detector that `saving.save` wrote."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from tfp_flows import runs
from tfp_flows.checks import files, graphs
from tfp_flows.checks.errors import UserError
from tfp_flows.checks.paths import check_path
from tfp_flows.data import Preparation
from tfp_flows.detectors import description, events, models, soundness, surprise
from tfp_flows.detectors.description import CALIBRATION, STATISTICS
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.names import checked_settings
from tfp_flows.detectors.registry import DETECTORS
from tfp_flows.detectors.statistics import Graph
from tfp_flows.distributions.protocols import DensityModel


def load(
    path: str | os.PathLike[str],
    model: DensityModel | Sequence[DensityModel] | None = None,
    trust: bool = False,
) -> Detector:
    """Reads a detector that `save` wrote. Nothing is executed but TensorFlow graphs that can only compute.

    A stored model is a graph, which may hold operations that read or write files or run Python: it is looked
    at before TensorFlow loads it, and refused where it holds any but those of
    `checks/allowed_operations.txt`.

    Args:
      path: Its folder.
      model: The density model (for an ensemble or a ratio: the list of models) to use instead of the stored
        one, such as a run that has moved.
      trust: Whether to load a stored model whatever it holds, for those who know who made it.

    Returns:
      `Detector`.

    Raises:
      DetectorError: If there is none, it is damaged, or its run is gone or was trained further.
    """
    path = pathlib.Path(path)
    described, arrays = description.read(path)
    kind = DETECTORS.get(described["detector"])
    settings, shape = described["settings"], tuple(described["image_shape"])
    references = described["models"]
    if kind is not None:
        with _damage(path, "its settings:"):
            checked_settings(kind.name, settings)
    if kind is None:
        raise DetectorError(
            f"load: unknown detector {described['detector']!r}; there are {', '.join(DETECTORS)}."
        )
    detector = _make(kind, settings, _models(references, path, model), path, shape, trust)
    detector.image_shape = shape
    scores = arrays.pop(CALIBRATION, None)
    detector.fitted = arrays
    detector.formula.check_fitted()
    with _damage(path, "its fitted"):
        soundness.check_fitted(detector, detector.formula, detector.statistics.stored_size())
    with contextlib.nullcontext() if model is not None else _damage(path, "what `fit` found:"):
        detector._check_prepared()
        if not detector.statistics.alone:
            detector._before_tracing()
    with _damage(path, "its map:"):
        surprise.check(arrays)
    if scores is not None:
        with _damage(path, "its calibration scores"):
            soundness.check_calibration(scores)
    detector.calibration_scores = scores
    detector.column_names = description.columns(described, path)
    if described.get("preparation") is not None:
        try:
            detector.preparation = Preparation.from_json(described["preparation"])
            if detector.preparation.image_shape != shape:
                raise UserError(f"its preparation makes {detector.preparation.image_shape}, not {shape}")
        except UserError as error:
            raise DetectorError(f"load: the detector in {path} is damaged: {error}.") from error
    return detector


@contextlib.contextmanager
def _damage(path: pathlib.Path, what: str) -> Iterator[None]:
    """Has a `DetectorError` say of which folder, and of what in it, it speaks."""
    try:
        yield
    except DetectorError as error:
        reason = str(error).removesuffix(".")
        raise DetectorError(f"load: the detector in {path} is damaged: {what} {reason}.") from error


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
    kind: type[Detector],
    settings: dict,
    density_models: list[DensityModel] | None,
    path: pathlib.Path,
    image_shape: tuple[int, ...],
    trust: bool,
) -> Detector:
    try:
        if density_models is not None:
            return kind.of_models(density_models, settings)
        statistics, shares = _load_statistics(path / STATISTICS, image_shape, trust)
        return kind.of_statistics(statistics, settings, shares)
    except DetectorError:
        raise
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DetectorError(f"load: the detector in {path} cannot be made: {reason}.") from error


def _load_statistics(
    folder: pathlib.Path, image_shape: tuple[int, ...], trust: bool
) -> tuple[Graph, Graph | None]:
    """(the statistics, what maps are made of, or None where it was stored without)."""
    check_path(folder, "detector")
    try:
        files.check_folder(folder)
        if not trust:
            graphs.check_saved_model(folder)
        loaded = tf.saved_model.load(str(folder))
        statistics = loaded.statistics
        shares = getattr(loaded, "shares", None)
        vectors = models.dtype_of_graph(statistics) or tf.float32
        image = tf.zeros([1, *image_shape], events.dtype_of(image_shape, vectors))
        statistics(image)  # what is wrong with the graph shows now
        if shares is not None and shares(image).shape[:3] != [1, *image_shape[:2]]:
            raise UserError("its shares of pixels have another shape")
    # What TensorFlow raises for a damaged graph is of any class.
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DetectorError(f"load: {folder} cannot be read: {reason.rstrip('.')}.") from error
    if not callable(statistics):
        raise DetectorError(f"load: {folder} cannot be read: its statistics are no function.")
    statistics.keep_alive = loaded  # its variables live no longer than it does
    return statistics, shares
