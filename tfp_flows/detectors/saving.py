"""A detector on disk: what was fitted as arrays, and the model by reference or as a SavedModel.

`description` says what its folder holds.
"""

import json
import os
import pathlib
from typing import Any, ClassVar, Protocol

import numpy as np
import tensorflow as tf

from tfp_flows import runs
from tfp_flows.checks.paths import check_path
from tfp_flows.data import Preparation
from tfp_flows.detectors.conformal import Conformal
from tfp_flows.detectors.description import ARRAYS, CALIBRATION, DESCRIPTION, FORMAT, STATISTICS, check_out
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.formula import Formula
from tfp_flows.detectors.maps import Maps
from tfp_flows.detectors.statistics import Statistics
from tfp_flows.distributions.protocols import DensityModel

PYTHON_OPERATIONS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


class Saved(Protocol):
    """What is kept of a detector."""

    name: ClassVar[str]
    models: list[DensityModel]
    settings: dict
    statistics: Statistics
    formula: Formula
    conformal: Conformal
    preparation: Preparation | None
    column_names: tuple[str, ...]
    maps: Maps


def save(detector: Saved, path: str | os.PathLike[str]) -> None:
    """Writes a fitted detector to the folder `path`; an earlier detector there is replaced.

    A model that was loaded from a run (`runs.load_model`) is stored as a reference to it, relative to
    `path`, with a digest of its checkpoint. Of any other the statistics that the detector needs, and what
    its maps need, are traced and stored as a SavedModel, so that its class need not be known to whoever
    loads it.

    Raises:
      DetectorError: If it was not fitted, `path` holds something else, or a model can be stored in neither
        way; the message says why.
    """
    detector.formula.check_fitted()
    image_shape = detector.statistics.known_image_shape()
    path = pathlib.Path(check_path(path, "out"))
    check_out(path)
    detector.maps.complete()
    with runs.replacing_folder(path) as new:
        found = [getattr(model, "run_reference", None) for model in detector.models]
        references = [reference for reference in found if reference is not None]
        by_reference = len(references) == len(found)
        if not by_reference:
            _save_statistics(detector, new / STATISTICS)
        description = {
            "format": FORMAT,
            "detector": detector.name,
            "settings": detector.settings,
            "image_shape": list(image_shape),
            "models": [reference.to_json(path) for reference in references] if by_reference else None,
            "preparation": detector.preparation and detector.preparation.to_json(),
            **({"columns": list(detector.column_names)} if detector.column_names else {}),
            "versions": runs.versions(),
        }
        (new / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        calibration = detector.conformal.scores
        arrays: dict[str, Any] = dict(detector.formula.fitted)
        if calibration is not None:
            arrays[CALIBRATION] = calibration
        np.savez_compressed(new / ARRAYS, **arrays)


def _save_statistics(detector: Saved, folder: pathlib.Path) -> None:
    function = detector.statistics.compiled()
    concrete = function.get_concrete_function()
    python = _python_operations(concrete.graph)
    if python:
        raise DetectorError(
            f"save: the model's log_prob runs Python ({', '.join(sorted(python))}), which no SavedModel "
            f"holds, and it is not that of a run (tfp_flows.train)."
        )
    module = tf.Module()
    module.statistics = function
    graphs = [concrete.graph]
    if detector.maps.shared():
        shares = detector.maps.compiled()
        if not _python_operations(shares.get_concrete_function().graph):
            module.shares = shares
            graphs.append(shares.get_concrete_function().graph)
    # Whatever the model is, and whether it tracks its variables or not.
    module.captured = list({id(v): v for graph in graphs for v in graph.variables}.values())
    try:
        tf.saved_model.save(module, str(folder))
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DetectorError(
            f"save: the model is not from a run, and TensorFlow cannot store it either: {reason}"
        ) from error


def _python_operations(graph: tf.Graph) -> set[str]:
    found = {op.type for op in graph.get_operations()} & PYTHON_OPERATIONS
    for function in graph.as_graph_def().library.function:
        found |= {node.op for node in function.node_def} & PYTHON_OPERATIONS
    return found
