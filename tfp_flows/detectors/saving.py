"""A detector on disk: what was fitted as arrays, and the model by reference or as a SavedModel.

DIR/detector.json    kind, settings, models, versions
DIR/arrays.npz       what `fit` and `calibrate` found; never pickled
DIR/statistics/      a SavedModel of the statistics, where the model is not that of a run
"""

import json
import os
import pathlib
import tempfile
import zipfile

import numpy as np
import tensorflow as tf

from tfp_flows import checkpoint
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.registry import DETECTORS

FORMAT = 1
DESCRIPTION = "detector.json"
ARRAYS = "arrays.npz"
STATISTICS = "statistics"
CALIBRATION = "calibration_scores"
PYTHON_OPERATIONS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


def save(detector, path):
    """Writes a fitted detector to the folder `path`; an earlier detector there is replaced.

    A model that was loaded from a run (`checkpoint.load_model`) is stored as a reference to it, relative to
    `path`, with a digest of its checkpoint. Of any other the statistics that the detector needs are
    traced and stored as a SavedModel, so that its class need not be known to whoever loads it.

    Raises:
      DetectorError: If it was not fitted, `path` holds something else, or a model can be stored in neither
        way; the message says why.
    """
    detector._check_fitted()
    path = pathlib.Path(path)
    if path.exists() and not (path / DESCRIPTION).exists() and (not path.is_dir() or any(path.iterdir())):
        raise DetectorError(f"save: {path} is there already and is no detector.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as temporary:
        new = pathlib.Path(temporary) / "new"
        new.mkdir()
        references = [getattr(model, "run_reference", None) for model in detector.models]
        by_reference = all(references)
        if not by_reference:
            _save_statistics(detector, new / STATISTICS)
        description = {
            "format": FORMAT,
            "detector": detector.name,
            "settings": detector.settings,
            "image_shape": list(detector.image_shape),
            "models": [reference.to_json(path) for reference in references] if by_reference else None,
            "versions": checkpoint.versions(),
        }
        (new / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        calibration = detector.calibration_scores
        extra = {} if calibration is None else {CALIBRATION: calibration}
        np.savez_compressed(new / ARRAYS, **detector.fitted, **extra)
        if path.exists():
            os.replace(path, pathlib.Path(temporary) / "old")
        os.replace(new, path)


def load(path, model=None):
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
    detector.calibration_scores = arrays.pop(CALIBRATION, None)
    detector.fitted = arrays
    detector._check_fitted()
    return detector


def _models(references, path, model):
    if model is not None:
        return list(model) if isinstance(model, list | tuple) else [model]
    if references is None:
        return None
    try:
        return [checkpoint.RunReference.from_json(r, path).load_model() for r in references]
    except (KeyError, TypeError) as error:
        raise DetectorError(f"load: the detector in {path} is damaged: {error}.") from error


def _make(kind, settings, density_models, path):
    try:
        if density_models is not None:
            return kind.of_models(density_models, settings)
        return kind.of_statistics(_load_statistics(path / STATISTICS), settings)
    except DetectorError:
        raise
    except (TypeError, ValueError) as error:
        raise DetectorError(f"load: the detector in {path} cannot be made: {error}.") from error


def _save_statistics(detector, folder):
    function = detector.compiled_statistics()
    concrete = function.get_concrete_function()
    python = _python_operations(concrete.graph)
    if python:
        raise DetectorError(
            f"save: the model's log_prob runs Python ({', '.join(sorted(python))}), which no SavedModel "
            f"holds, and it is not that of a run (tfp_flows.train)."
        )
    module = tf.Module()
    module.statistics = function
    # Whatever the model is, and whether it tracks its variables or not.
    module.captured = list(concrete.graph.variables)
    try:
        tf.saved_model.save(module, str(folder))
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DetectorError(
            f"save: the model is not from a run, and TensorFlow cannot store it either: {reason}"
        ) from error


def _python_operations(graph):
    found = {op.type for op in graph.get_operations()} & PYTHON_OPERATIONS
    for function in graph.as_graph_def().library.function:
        found |= {node.op for node in function.node_def} & PYTHON_OPERATIONS
    return found


def _load_statistics(folder):
    try:
        loaded = tf.saved_model.load(str(folder))
        statistics = loaded.statistics
    except (OSError, AttributeError, ValueError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DetectorError(f"load: {folder} cannot be read: {reason}") from error
    statistics.keep_alive = loaded  # its variables live no longer than it does
    return statistics


def _read_arrays(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)
