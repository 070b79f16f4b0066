"""A run's model, and a detector of it, written to a folder that needs this package no more."""

import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from tfp_flows import detectors, runs
from tfp_flows.checks.errors import UserError
from tfp_flows.serving import one_file, servable, stablehlo
from tfp_flows.serving.formats import BATCH_SIZES, FILES, SAVED_MODEL, STABLEHLO
from tfp_flows.serving.model_card import model_card
from tfp_flows.serving.signature_file import CARD_FILE, FORMAT, SIGNATURE_FILE, check_out


def export(
    run: runs.Run,
    out: str | os.PathLike,
    detector_path: str | os.PathLike | None = None,
    jit_compile: bool = False,
    export_format: str = SAVED_MODEL,
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> dict:
    """Exports a run's model, and with `detector_path` a detector of it.

    Args:
      run: `runs.Run`.
      out: Folder to write to.
      detector_path: Folder of a saved detector, or None.
      jit_compile: As for `servable.Servable`; of a SavedModel.
      export_format: One of `FORMATS`: of ONNX and TensorFlow Lite it is `serving_default` alone.
      batch_sizes: Of the StableHLO programs.

    Returns:
      The contents of signature.json.

    Raises:
      RunError: If there is no model, or `out` holds something else.
      DetectorError: If the detector cannot be exported (in this format), or is that of another run.
      LoweringError: If XLA cannot compile the model.
      ConversionError: If ONNX or TensorFlow Lite lacks one of its operations.
      UserError: If TensorFlow cannot read from such a path as `out`.
    """
    if jit_compile and export_format in FILES:
        raise UserError(f"`jit_compile` has no meaning with `export_format={export_format}`.")
    out = check_out(out)
    model, step = runs.load_model(run)
    family = run.spec().model_family
    detector = None if detector_path is None else detector_of(detector_path, model)
    offered = servable.Servable(model, family, detector, jit_compile)
    described: dict[str, Any] = {
        "format": FORMAT,
        "export_format": export_format,
        "family": family.name,
        "dataset": run.spec().dataset,
        "image_shape": list(run.spec().image_shape),
        "preparation": run.spec().preparation.to_json(),
        "seed": servable.SEED,
        "jit_compile": jit_compile,
        "detector": detector and _describe_detector(detector),
        "methods": servable.signature(offered),
        "versions": runs.versions(),
    }
    save: Callable[[pathlib.Path], None] = offered.save
    if export_format == STABLEHLO:
        bundle, left_out = _lowered(offered, batch_sizes, detector)
        methods = {name: m for name, m in described["methods"].items() if name not in left_out}
        described.update(methods=methods, left_out=left_out, programs=bundle.describe())
        save = bundle.save
    elif export_format in FILES:
        described["methods"] = {"serving_default": described["methods"]["serving_default"]}
        save = _converted(offered, described, detector)
    has_maps = "score_map" in described["methods"]
    card = model_card(run, step, family, detector, servable.SEED, described["versions"], has_maps)
    _write(out, save, described, card)
    return described


def detector_of(path: str | os.PathLike, model: Any) -> detectors.Detector:
    """A saved detector, with `model` in the place of its own copy of the same run.

    A copy that estimates log-probabilities by another protocol stays: the detector was calibrated with it.

    Args:
      path: Its folder.
      model: As from `runs.load_model`.

    Raises:
      DetectorError: If there is none, it does not run inside a graph, or is of another run or image shape.
    """
    detector = detectors.load(path)
    detector.check_exportable()
    if not detector.models and detector.needs_model:
        raise detectors.DetectorError(f"`detector`: {path} is not of a run, but of a stored model.")
    own = model.run_reference
    loaded: list[Any] = detector.models
    if loaded and not any(m.run_reference.digest == own.digest for m in loaded):
        raise detectors.DetectorError(
            f"`detector`: {path} is of {loaded[0].run_reference.folder}, not of {own.folder}."
        )
    shape = tuple(model.event_shape)
    if detector.image_shape is not None and tuple(detector.image_shape) != shape:
        raise detectors.DetectorError(
            f"`detector`: {path} is for images {detector.image_shape}, and the model for images {shape}."
        )
    way = (own.digest, own.protocol)
    detector.models = [
        model if (m.run_reference.digest, m.run_reference.protocol) == way else m for m in loaded
    ]
    return detector


def _describe_detector(detector: detectors.Detector) -> dict:
    calibration = detector.calibration_scores
    return {
        "name": detector.name,
        "settings": detector.settings,
        "num_calibration": None if calibration is None else len(calibration),
        "map_scale": None if detector.maps.why_none() else detector.maps.scale,
    }


def _lowered(
    offered: servable.Servable, batch_sizes: Sequence[int], detector: detectors.Detector | None
) -> tuple[stablehlo.Bundle, dict[str, str]]:
    """(`stablehlo.Bundle` of every method that XLA can compile, {method: reason} of the others)."""
    bundle, left_out = stablehlo.Bundle(), dict[str, str]()
    for name in offered.methods:
        try:
            programs = [_lower(offered, name, size) for size in batch_sizes]
        except stablehlo.LoweringError as error:
            if name != "serving_default":
                left_out[name] = str(error)
                continue
            if detector is None:
                raise stablehlo.LoweringError(f"XLA cannot compile this model: {error}") from error
            raise _refused(detector, f"XLA cannot compile this score ({error})") from error
        for size, program in zip(batch_sizes, programs, strict=True):
            bundle.add(name, size, program)
    return bundle, left_out


def _refused(detector: detectors.Detector, reason: str) -> detectors.DetectorError:
    other = f", or fit it with `set` {detector.for_xla}" if detector.for_xla else ""
    return detectors.DetectorError(f"{detector.name}: {reason}; use `format={SAVED_MODEL}`{other}.")


def _converted(
    offered: servable.Servable, described: dict, detector: detectors.Detector | None
) -> Callable[[pathlib.Path], None]:
    """What writes the one file of the format that is described."""
    function = offered.methods["serving_default"]
    try:
        return one_file.save(function, described, described["export_format"])
    except one_file.ConversionError as error:
        if detector is None:
            raise
        raise _refused(detector, str(error).removesuffix(".")) from error


def _lower(offered: servable.Servable, name: str, size: int) -> stablehlo.Program:
    function, specs = offered.of_size(name, size)
    return stablehlo.lower(function, *specs)


def _write(out: pathlib.Path, save: Callable[[pathlib.Path], None], described: dict, card: str) -> None:
    """Writes the folder as a whole or not at all; `save(folder)` makes it."""
    with runs.replacing_folder(out) as new:
        save(new)
        (new / SIGNATURE_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        (new / CARD_FILE).write_text(card, encoding="utf-8")
