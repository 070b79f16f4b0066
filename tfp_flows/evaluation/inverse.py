"""How well a flow's inverse is one: measured in each evaluation, and kept beside its numbers.

RUN/evaluation/inverse.json    round trips of some test images, noise, a checkerboard and samples
"""

import json
import math
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows import data
from tfp_flows.distributions.protocols import is_flow
from tfp_flows.evaluation import kept
from tfp_flows.numerics import InverseError, extreme_images, inverse_error
from tfp_flows.runs import Run

FILE = "inverse.json"
MOST = 32  # test images and noise: a second or two for all of them


def measured(model: Any, own: data.Array, samples: tf.Tensor | None = None) -> dict[str, InverseError]:
    """Round trips of a few images of each kind.

    Args:
      model: Any model.
      own: Test images uint8 `[N, H, W, C]`.
      samples: The flow's own, before they are rounded to grey levels, `[n, H, W, C]`; None for none.

    Returns:
      Dict from "test images", "noise", "checkerboard" and "samples" to `numerics.InverseError`; empty for a
      model that is no flow, or whose bijector has no way back.
    """
    if not is_flow(model):
        return {}
    shape = tuple(model.flow.event_shape)
    every = np.unique(np.linspace(0, len(own) - 1, MOST).astype(int))
    kinds: dict[str, Any] = {
        "test images": own[every],
        "noise": data.load("noise", "test", image_shape=shape).images[:MOST],
        "checkerboard": extreme_images(shape)["checkerboard"][np.newaxis],
    }
    if samples is not None:
        kinds["samples"] = samples
    try:
        return {kind: inverse_error(model, images) for kind, images in kinds.items()}
    except NotImplementedError:
        return {}


def write(folder: pathlib.Path, found: dict[str, InverseError], step: int) -> None:
    """Keeps what was measured at a step of training in RUN/evaluation; nothing for no flow."""
    if not found:
        return
    values = {
        kind: {key: None if math.isnan(value) else value for key, value in error._asdict().items()}
        for kind, error in found.items()
    }
    text = json.dumps({"step": step, "unit": "grey levels", "images": values}, indent=2) + "\n"
    kept.replace(folder / FILE, text.encode())


def read(run: Run) -> tuple[int, dict[str, InverseError]] | None:
    """(the step, what was measured then); None where nothing was, or the file is damaged."""
    try:
        values = json.loads((run.evaluation / FILE).read_text(encoding="utf-8"))
        found = {kind: _error(error) for kind, error in values["images"].items()}
        return int(values["step"]), found
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _error(values: dict[str, Any]) -> InverseError:
    worst, mean = (math.nan if values[k] is None else float(values[k]) for k in ("worst", "mean"))
    return InverseError(worst, mean, int(values["not_finite"]), int(values["n"]))


def line(found: dict[str, InverseError]) -> str:
    """One line for people."""
    kinds = "; ".join(f"{kind} {error}" for kind, error in found.items())
    return f"Encoded and decoded, an image comes back but for at most, in grey levels: {kinds}."
