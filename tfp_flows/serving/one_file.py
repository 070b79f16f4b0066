"""A function as one file, of ONNX or of TensorFlow Lite, which says of itself what it takes and gives."""

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfp_flows.checks.errors import UserError
from tfp_flows.serving import onnx_file, tflite_file
from tfp_flows.serving.flattening import FlatteningError, flatten
from tfp_flows.serving.formats import FILES, ONNX, SPOKEN, TFLITE

ALPHA = 0.05
UNITS = {
    "log_prob": "nats of a whole image",
    "bits_per_dim": "bits of a number of the image",
    "score": "higher is more out of distribution",
    "p_value": "an image of the own kind has one of at most alpha with a probability of at most alpha",
}


class ConversionError(UserError):
    """A function cannot be written in a format; the message is one line that says why."""


def save(
    function: tf.types.experimental.PolymorphicFunction, described: dict[str, Any], export_format: str
) -> Callable[[str | os.PathLike], None]:
    """Makes the file of a function of images, in memory.

    Args:
      function: Of uint8 images `[None, H, W, C]`; a dict of tensors `[None]`.
      described: The contents of signature.json.
      export_format: "onnx" or "tflite".

    Returns:
      Function of a folder, which is made, that writes the file there.

    Raises:
      ConversionError: If the format lacks an operation.
      UserError: If a package is missing.
    """
    convert = {ONNX: onnx_file.convert, TFLITE: tflite_file.convert}[export_format]
    try:
        flat = flatten(function.get_concrete_function(), narrow=export_format == TFLITE)
        content = convert(flat, about(described))
    except FlatteningError as error:
        raise ConversionError(f"{SPOKEN[export_format]} cannot hold this: {error}.") from error
    except (onnx_file.LackingError, tflite_file.LackingError) as error:
        raise ConversionError(f"{SPOKEN[export_format]} {error}.") from error

    def write(folder: str | os.PathLike) -> None:
        path = pathlib.Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        (path / FILES[export_format]).write_bytes(content)

    return write


def about(described: dict[str, Any]) -> dict[str, str]:
    """What the file says of itself: names, shapes, units, the detector, its level; each as text."""
    method = described["methods"]["serving_default"]
    height, width, channels = described["image_shape"]
    told = {
        "made_by": f"tfp_flows {described['versions']['tfp-flows']}",
        "family": described["family"],
        "trained_on": described["dataset"],
        "input images": f"uint8 [N, {height}, {width}, {channels}], grey levels 0..255",
        **{f"output {name}": f"float32 [N], {UNITS[name]}" for name in method["outputs"]},
        "preparation": json.dumps(described["preparation"]),
        "seed": str(described["seed"]),
    }
    if described["detector"] is not None:
        told["detector"] = json.dumps(described["detector"])
    if "p_value" in method["outputs"]:
        told |= {"alpha": str(ALPHA), "verdict": "out of distribution where p_value <= alpha"}
    return told
