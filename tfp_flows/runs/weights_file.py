"""Trained weights alone, as safetensors: what a pretrained model has in the place of checkpoints.

FOLDER/weights.safetensors   the variables of the model, those that are trained at their averages

The format (https://huggingface.co/docs/safetensors): eight bytes, the length of a JSON header, which says
of each array its type, shape and place; then the arrays. It is read and written here, with NumPy alone;
nothing in it can be executed, and no size that it claims is believed before it is checked.
"""

import json
import os
import pathlib
import stat
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfp_flows.checks.sizes import MOST_TEXT
from tfp_flows.runs.atomic import write_atomically
from tfp_flows.runs.errors import RunError

WEIGHTS = "weights.safetensors"
METADATA = "__metadata__"
FORMAT = "tfp_flows weights 1"
_DTYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_PREFIX = 8  # bytes
# What reading a file that lies raises.
_UNREADABLE = (OSError, ArithmeticError, LookupError, ValueError, TypeError, AttributeError, RecursionError)


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray], step: int) -> None:
    """Writes arrays, in their order.

    Args:
      path: The file.
      arrays: From names to arrays of floats, integers or bools.
      step: To which the model was trained.
    """
    header: dict[str, Any] = {METADATA: {"format": FORMAT, "step": str(step)}}
    content, end = [], 0
    for name, array in arrays.items():
        bytes_ = np.ascontiguousarray(array).tobytes()
        start, end = end, end + len(bytes_)
        dtype = _NAMES[np.asarray(array).dtype]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [start, end]}
        content.append(bytes_)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_atomically(path, b"".join([len(text).to_bytes(_PREFIX, "little"), text, *content]))


def read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], int]:
    """The arrays by name, and the step.

    Raises:
      RunError: If the file is damaged, or is none that `write` wrote.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("it is no file")
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(_PREFIX), "little")
            left = os.fstat(file.fileno()).st_size - _PREFIX - length
            if length > MOST_TEXT or left < 0:
                raise ValueError("its header is cut off")
            header = json.loads(file.read(length))
            content = file.read()
        about = header.pop(METADATA)
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}, not {FORMAT!r}")
        return _arrays(header, content), int(about["step"])
    except _UNREADABLE as error:
        raise RunError(f"`run`: {path} cannot be read: {error!s:.200}.") from error


def _arrays(header: dict[str, Any], content: bytes) -> dict[str, np.ndarray]:
    """The arrays, which lie one after the other and fill the content."""
    found, end = {}, 0
    for name, said in header.items():
        dtype, shape = np.dtype(_DTYPES[said["dtype"]]), tuple(map(int, said["shape"]))
        start, stop = map(int, said["data_offsets"])
        size = dtype.itemsize
        for length in shape:
            if length < 0:
                raise ValueError(f"{name} has a negative length")
            size *= length
        if start != end or stop - start != size or stop > len(content):
            raise ValueError(f"{name} does not lie where it should")
        found[name], end = np.frombuffer(content, dtype, size // dtype.itemsize, start).reshape(shape), stop
    if end != len(content):
        raise ValueError("there is more in it than its header says")
    return found
