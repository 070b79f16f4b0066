"""A flow over vectors, with a detector if there is one, as a SavedModel that needs TensorFlow alone."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows import detectors, runs
from tfp_flows.checks import files, graphs
from tfp_flows.checks.errors import UserError
from tfp_flows.checks.paths import check_path
from tfp_flows.detectors import calibration
from tfp_flows.numerics import Seed
from tfp_flows.serving import signature_file
from tfp_flows.serving.exporting import detector_of
from tfp_flows.serving.servable import signature_of
from tfp_flows.serving.signature_file import FORMAT, SIGNATURE_FILE, ExportedModelError

Names = Sequence[str]


class _Servable:
    """The functions of the export, each traced once for any number of vectors."""

    def __init__(self, flow: tfd.Distribution, detector: detectors.Detector | None) -> None:
        vectors = tf.TensorSpec([None, *flow.event_shape], flow.dtype, name="vectors")
        n, seed = tf.TensorSpec([], tf.int32, name="n"), tf.TensorSpec([], tf.int64, name="seed")

        def serving_default(vectors: tf.Tensor) -> dict[str, tf.Tensor]:
            found = {"log_prob": flow.log_prob(tf.identity(vectors))}
            if detector is not None:
                found["score"] = detector.graph_score(vectors)
                if detector.calibration_scores is not None:
                    known = tf.constant(detector.calibration_scores)
                    found["p_value"] = calibration.p_value(found["score"], known)
            return found

        def sample(n: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"vectors": flow.sample(n, seed=tf.cast(Seed.of(seed).pair, tf.int32))}

        self.methods = {
            "serving_default": tf.function(serving_default, input_signature=[vectors], autograph=False),
            "sample": tf.function(sample, input_signature=[n, seed], autograph=False),
        }

    def save(self, folder: pathlib.Path) -> None:
        """Writes the SavedModel."""
        module = tf.Module(name="servable")
        signatures = {}
        for name, function in self.methods.items():
            setattr(module, name, function)
            signatures[name] = function.get_concrete_function()
        graphs_of = [concrete.graph for concrete in signatures.values()]
        module.captured = list({id(v): v for graph in graphs_of for v in graph.variables}.values())
        tf.saved_model.save(module, str(folder), signatures=signatures)


def export_vectors(
    flow: tfd.Distribution,
    out: str | os.PathLike,
    detector: detectors.Detector | None = None,
    columns: Names = (),
) -> dict[str, Any]:
    """Writes a flow over vectors, and a detector of it, so that they run without this package.

        serving_default(vectors)      log_prob `[N]`, nats; with a detector also score and p_value
        sample(n, seed)               vectors `[n, D]`

    #### Example

    ```python
    serving.export_vectors(flow, "exported", detector, columns=["alcohol", "ash", ...])
    exported = serving.ExportedVectors("exported")       # here, or tf.saved_model.load anywhere
    exported(rows)["p_value"]
    ```

    `python -m tfp_flows.score --model=exported --images=rows.csv --out=scores.csv` scores a table by it.

    Args:
      flow: As from `vector_flow`, or `tfp_flows.load` of its run; one that needs no condition.
      out: Folder to write to; an earlier export there is replaced.
      detector: A fitted detector of this flow that runs inside a graph; None for none.
      columns: What the D coordinates are called, by which tables with a header are read; none for no names.

    Returns:
      The contents of signature.json.

    Raises:
      UserError: If the flow is not of vectors, or the names are not D different ones.
      DetectorError: If the detector does not run inside a graph, or is of other vectors.
      RunError: If `out` holds something else.
    """
    out = signature_file.check_out(out)
    shape = tf.TensorShape(getattr(flow, "event_shape", None))
    if shape.rank != 1 or not shape.is_fully_defined():
        raise UserError(f"`flow` must be a density of vectors [D], got one of events {shape}.")
    (size,) = shape
    names = [str(name) for name in columns]
    if names and len(set(names)) != size or len(names) not in (0, size):
        raise UserError(f"`columns` must be {size} different names, or none, got {names}.")
    if detector is not None:
        detector.check_exportable()
        if flow not in detector.models:
            raise detectors.DetectorError("`detector` is of another flow than `flow`: fit one to this.")
        if detector.image_shape != (size,):
            raise detectors.DetectorError(
                f"`detector` is of {detector.image_shape}, and the flow of vectors [{size}]."
            )
    offered = _Servable(flow, detector)
    known = None if detector is None else detector.calibration_scores
    described = {
        "format": FORMAT,
        "vector_size": size,
        "columns": names,
        "dtype": flow.dtype.name,
        "detector": detector
        and {"name": detector.name, "num_calibration": None if known is None else len(known)},
        "methods": signature_of(offered.methods),
        "versions": runs.versions(),
    }
    with runs.replacing_folder(out) as new:
        offered.save(new)
        (new / SIGNATURE_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return described


def export_run_of_vectors(
    run: runs.Run, out: str | os.PathLike, detector_path: str | os.PathLike | None = None
) -> dict[str, Any]:
    """As `export_vectors`, of a run of a table, whose columns have their names.

    Args:
      run: The run.
      out: Folder to write to.
      detector_path: Folder of a saved detector of this run, or None.

    Raises:
      RunError: If there is no model, or `out` holds something else.
      DetectorError: If the detector cannot be exported, or is that of another run.
    """
    flow, _ = runs.load_model(run)
    detector = None if detector_path is None else detector_of(detector_path, flow)
    return export_vectors(flow, out, detector, run.spec().columns)


def are_vectors(folder: str | os.PathLike) -> bool:
    """Whether `folder` holds an export of vectors; not whether it is sound."""
    try:
        described = files.read_json(os.path.join(folder, SIGNATURE_FILE))
    except (OSError, UserError, tf.errors.OpError):
        return False
    return isinstance(described, dict) and "vector_size" in described


class ExportedVectors:
    """What `export_vectors` wrote, read back: vectors `[N, D]` -> dict of arrays `[N]`.

    Attributes:
      size: D.
      columns: What the coordinates are called; none where the export does not say.
      num_calibration: How many vectors calibrated the detector; None where there are no p-values.
    """

    def __init__(self, folder: str | os.PathLike, trust: bool = False) -> None:
        """Loads it; its graph is looked at before, as `ExportedModel` does.

        Args:
          folder: Of the export.
          trust: Whether to load whatever graph there is.

        Raises:
          ExportedModelError: If the folder holds no such export, or one that is refused.
        """
        check_path(folder, "model")
        try:
            described = files.read_json(os.path.join(folder, SIGNATURE_FILE))
            self.size, self.columns, self.num_calibration = _described(described)
            files.check_folder(folder)
            if not trust:
                graphs.check_saved_model(folder)
            self._loaded = tf.saved_model.load(str(folder))
            self._function = self._loaded.signatures["serving_default"]
            spec = self._function.structured_input_signature[1]["vectors"]
            if spec.shape.as_list() != [None, self.size]:
                raise UserError(f"serving_default does not take vectors [N, {self.size}]")
        except Exception as error:  # what TensorFlow raises for a damaged graph is of any class
            raise signature_file.no_export(folder, error) from error
        self._folder, self._dtype = folder, spec.dtype

    def __call__(self, vectors: npt.ArrayLike) -> dict[str, np.ndarray]:
        """`log_prob`, in nats, and with a detector `score` and `p_value`, each `[N]`.

        Raises:
          ExportedModelError: If these are no vectors `[N, D]` of finite numbers.
        """
        array = np.asarray(vectors)
        if array.dtype.kind not in "iuf" or array.ndim != 2 or array.shape[1] != self.size:
            raise ExportedModelError(
                f"`vectors` must be numbers [N, {self.size}], got {array.dtype} {list(array.shape)}."
            )
        with np.errstate(over="ignore"):  # what is too large for the flow's type is refused below
            values = array.astype(self._dtype.as_numpy_dtype)
        wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(wrong):
            raise ExportedModelError(
                f"`vectors` must be finite numbers of {self._dtype.name}: row {wrong[0]} is not "
                f"({len(wrong)} such rows)."
            )
        found = self._function(vectors=tf.constant(values))
        return {name: values.numpy() for name, values in found.items()}


def _described(described: Any) -> tuple[int, list[str], int | None]:
    """(D, names of columns, number of calibration vectors) of a signature.json, checked."""
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise UserError(f"{SIGNATURE_FILE} must have format {FORMAT}")
    size, columns, detector = (described.get(key) for key in ("vector_size", "columns", "detector"))
    if type(size) is not int or size < 1:
        raise UserError(f"vector_size of {SIGNATURE_FILE} must be a positive integer, got {size!r}")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise UserError(f"columns of {SIGNATURE_FILE} must be names")
    if len(columns) not in (0, size):
        raise UserError(f"columns of {SIGNATURE_FILE} must be {size} names, got {len(columns)}")
    count = detector.get("num_calibration") if isinstance(detector, dict) else None
    if count is not None and (type(count) is not int or count < 1):
        raise UserError(f"num_calibration of {SIGNATURE_FILE} must be a positive integer, got {count!r}")
    return size, columns, count
