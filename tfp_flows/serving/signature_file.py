"""signature.json, as it stands in an export's folder: read, and checked before anything else is."""

import math
import os
import pathlib
from typing import Any

from tfp_flows import runs
from tfp_flows.checks import files, sizes
from tfp_flows.checks.errors import UserError
from tfp_flows.checks.paths import OF_SAVED_MODELS, check_path, why_not_replaced
from tfp_flows.data import Preparation
from tfp_flows.serving.formats import FILES, FORMATS, SAVED_MODEL, SPOKEN, STABLEHLO

SIGNATURE_FILE = "signature.json"
CARD_FILE = "model_card.md"
OF_EXPORTS = (CARD_FILE, *FILES.values(), "*.mlir", "weights.safetensors", "run_stablehlo.py", "__pycache__")
FORMAT = 1  # of signature.json


class ExportedModelError(UserError):
    """A folder holds no exported model; the message is one line."""


def read(folder: str | os.PathLike) -> dict[str, Any]:
    """The contents of an export's signature.json.

    Args:
      folder: Of the export.

    Returns:
      A dict with at least `image_shape`, three positive integers; `methods`; `detector`, a dict or None;
      `preparation`, a `data.Preparation` as JSON or None, of an export that is older; and `export_format`.

    Raises:
      ExportedModelError: If it cannot be read, or is not of this form.
    """
    try:
        described = files.read_json(os.path.join(folder, SIGNATURE_FILE))
        if not isinstance(described, dict) or described.get("format") != FORMAT:
            found = described.get("format") if isinstance(described, dict) else described
            raise UserError(f"{SIGNATURE_FILE} must have format {FORMAT}, got {_short(found)}")
        _check(described)
    except (OSError, UserError) as error:
        raise no_export(folder, error) from error
    described.setdefault("detector", None)
    described.setdefault("preparation", None)
    return described


def image_shape(folder: str | os.PathLike) -> tuple[int, int, int]:
    """(H, W, C) of the images that the export in `folder` takes; the model itself is not loaded.

    Raises:
      ExportedModelError: If the folder holds no export.
    """
    check_path(folder, "model")
    described = read(folder)
    found = described.get("export_format")
    if found == STABLEHLO:
        raise ExportedModelError(
            f"`model`: {folder} holds StableHLO, for JAX; score with python {folder}/run_stablehlo.py."
        )
    if found in FILES:
        raise ExportedModelError(
            f"`model`: {folder} holds {SPOKEN[found]}; run {FILES[found]} there, or export with "
            f"`format={SAVED_MODEL}` to score with it here."
        )
    height, width, channels = described["image_shape"]
    return height, width, channels


def num_calibration(folder: str | os.PathLike) -> int | None:
    """How many images calibrated the detector of the export in `folder`; None where there are no p-values.

    Raises:
      ExportedModelError: If the folder holds no export.
    """
    detector = read(folder)["detector"]
    return detector and detector.get("num_calibration")


def preparation(folder: str | os.PathLike) -> Preparation | None:
    """How pictures become the images of the export in `folder`; None where it does not say.

    Raises:
      ExportedModelError: If the folder holds no export.
    """
    described = read(folder)["preparation"]
    return None if described is None else Preparation.from_json(described)


def check_out(out: str | os.PathLike) -> pathlib.Path:
    """The folder, refused where an export cannot be written to it.

    Raises:
      RunError: If it holds something else, or something beside an export.
      UserError: If TensorFlow cannot read from such a path.
    """
    path = pathlib.Path(check_path(out, "out"))
    why = why_not_replaced(path, "export", SIGNATURE_FILE, (*OF_SAVED_MODELS, *OF_EXPORTS))
    if why:
        raise runs.RunError(why)
    return path


def no_export(folder: str | os.PathLike, error: Exception) -> ExportedModelError:
    """The error that says of `folder`, in one line, why it is no export."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return ExportedModelError(f"`model`: {os.fspath(folder)} is no exported model: {reason.rstrip('.')}.")


def _check(described: dict[str, Any]) -> None:
    if "vector_size" in described:
        raise UserError("it takes vectors, and no images: serving.ExportedVectors reads it")
    shape = described.get("image_shape")
    if not (isinstance(shape, list) and len(shape) == 3 and all(type(n) is int and n > 0 for n in shape)):
        raise UserError(
            f"image_shape of {SIGNATURE_FILE} must be three positive integers, got {_short(shape)}"
        )
    sizes.check_image_size(shape, SIGNATURE_FILE)
    if described.get("preparation") is not None:
        preparation = Preparation.from_json(described["preparation"])
        if list(preparation.image_shape) != shape:
            raise UserError(f"preparation of {SIGNATURE_FILE} makes {preparation.image_shape}, not {shape}")
    methods = described.get("methods")
    if not (isinstance(methods, dict) and all(isinstance(method, dict) for method in methods.values())):
        raise UserError(f"methods of {SIGNATURE_FILE} must be functions by name, got {_short(methods)}")
    if "serving_default" not in methods:
        raise UserError(f"{SIGNATURE_FILE} has no method serving_default")
    detector = described.get("detector")
    if not (detector is None or isinstance(detector, dict)):
        raise UserError(
            f"detector of {SIGNATURE_FILE} must be a description or null, got {_short(detector)}"
        )
    count = (detector or {}).get("num_calibration")
    if count is not None and (type(count) is not int or count < 1):
        raise UserError(
            f"num_calibration of {SIGNATURE_FILE} must be a positive integer, got {_short(count)}"
        )
    found = described.get("export_format")
    if found is not None and found not in FORMATS:
        known = ", ".join(FORMATS)
        raise UserError(f"export_format of {SIGNATURE_FILE} must be one of {known}, got {_short(found)}")
    scale = (detector or {}).get("map_scale")
    if scale is not None and not _is_scale(scale):
        raise UserError(f"map_scale of {SIGNATURE_FILE} must be two rising numbers, got {_short(scale)}")


def _is_scale(value: Any) -> bool:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(n) in (int, float) for n in value)
    return numbers and all(map(math.isfinite, value)) and value[0] < value[1]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."
