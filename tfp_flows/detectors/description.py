"""What a saved detector is, as its folder says it; read without TensorFlow, and before anything is loaded.

DIR/detector.json    kind, settings, models, versions
DIR/arrays.npz       what `fit` and `calibrate` found; never pickled
DIR/statistics/      a SavedModel of the statistics, and of what maps are made of, where the model is not
                     that of a run
"""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tfp_flows.checks import archives, files, paths
from tfp_flows.checks.errors import UserError
from tfp_flows.detectors.errors import DetectorError

FORMAT = 1
DESCRIPTION = "detector.json"
ARRAYS = "arrays.npz"
STATISTICS = "statistics"
CALIBRATION = "calibration_scores"


def read(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(what detector.json holds, the arrays) of a detector.

    Raises:
      DetectorError: If there is none, or it is damaged.
    """
    path = pathlib.Path(folder)
    try:
        return _described(path / DESCRIPTION), archives.read_all(path / ARRAYS)
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = os.path.basename(error.filename)
        raise DetectorError(
            f"`detector`: no detector in {path} (it has no {missing}); tfp_flows.detect makes one."
        ) from error
    except DetectorError:
        raise
    except (OSError, UserError) as error:
        raise DetectorError(f"load: the detector in {path} is damaged: {error}.") from error


def columns(described: dict[str, Any], path: pathlib.Path) -> tuple[str, ...]:
    """What the numbers of vectors are called, as detector.json says; () where it does not.

    Raises:
      DetectorError: If these are no names, or not of so many.
    """
    names = described.get("columns", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DetectorError(f"load: the detector in {path} is damaged: its columns are {names!r}.")
    if names and [len(names)] != described["image_shape"]:
        raise DetectorError(
            f"load: the detector in {path} is damaged: it has {len(names)} names of columns for "
            f"{described['image_shape']}."
        )
    return tuple(names)


def are_vectors(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a detector of vectors; not whether it is sound."""
    try:
        return len(_described(pathlib.Path(folder) / DESCRIPTION)["image_shape"]) == 1
    except (OSError, UserError):
        return False


def check_out(out: str | os.PathLike[str]) -> None:
    """Refuses a folder that a detector cannot be written to.

    Raises:
      DetectorError: If it holds something else, or something beside a detector.
    """
    why = paths.why_not_replaced(pathlib.Path(out), "detector", DESCRIPTION, (ARRAYS, STATISTICS))
    if why:
        raise DetectorError(why)


def _described(path: pathlib.Path) -> dict[str, Any]:
    """The contents of detector.json.

    Raises:
      OSError: If there is none.
      UserError: If it is not of the form that `save` writes.
    """
    found = files.read_json(path)
    if not isinstance(found, dict):
        raise UserError(f"{path} is no description of a detector")
    if found.get("format") != FORMAT:
        version = found.get("format")
        raise DetectorError(
            f"load: {path.parent} has format {version!r}, but this version reads format {FORMAT}."
        )
    for key, fits in FORM.items():
        if key not in found:
            raise UserError(f"{path} has no {key}")
        if not fits(found[key]):
            raise UserError(f"{key} of {path} is {found[key]!r}")
    return found


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and len(value) in (1, 3) and all(type(n) is int and n > 0 for n in value)


def _is_references(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(v, dict) for v in value))


# What detector.json holds, by key.
FORM: dict[str, Callable[[object], bool]] = {
    "detector": lambda value: isinstance(value, str),
    "settings": lambda value: isinstance(value, dict),
    "image_shape": _is_shape,
    "models": _is_references,
}
