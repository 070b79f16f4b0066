"""Pictures of what a run's model draws, beside the table of its evaluation."""

import io
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows import data
from tfp_flows.distributions import ClassMixture, Dequantized, SuperResolution, protocols
from tfp_flows.evaluation import by_class, kept
from tfp_flows.evaluation.samples import write_samples
from tfp_flows.models import Family
from tfp_flows.numerics import quantization
from tfp_flows.pages import pictures

SEED = (0, 0)
RECONSTRUCTED, DRAWS = 8, 3  # images, and how often each is drawn from its code


def draw(
    folder: pathlib.Path,
    family: Family,
    model: Any,
    images: data.Array,
    count: int,
    step: int,
    title: str,
    progress: bool,
    temperature: float = 1.0,
) -> tf.Tensor | None:
    """Writes `samples.png` and `.npz`; of a model with a condition those by class, or given codes.

    Args:
      folder: RUN/evaluation.
      family: The model's.
      model: The model.
      images: uint8 `[N, H, W, C]`, the first of which are reconstructed.
      count: How many images are drawn.
      step: To which the model was trained.
      title: What is drawn from.
      progress: Whether to show a bar.
      temperature: See the model's `sample`.

    Returns:
      What a flow drew, before it was rounded to grey levels, `[count, H, W, C]`; None of other models.
    """
    draws = None
    warmth = "" if temperature == 1.0 else f" at temperature {temperature:g}"
    if family.sample is not None:
        drawn, draws = _drawn(family, model, count, progress, temperature)
        write_samples(folder, drawn, step, f"Samples{warmth}: {title}")
    picture = io.BytesIO()
    if isinstance(model, ClassMixture):
        rows = by_class.samples(model, SEED, temperature)
        title = f"Samples by class{warmth}: {title}"
        pictures.image_rows(picture, rows, model.class_names[: len(rows)], title)
        kept.replace(folder / "samples_by_class.png", picture.getvalue())
    elif isinstance(model, SuperResolution):
        kept.replace(folder / "super_resolution.png", _enlargements(model, images, title, temperature))
    elif isinstance(model, protocols.CodedModel):
        some = np.asarray(images[:RECONSTRUCTED])
        redrawn = [model.reconstruct(some, seed=(0, i)).numpy().astype(np.uint8) for i in range(DRAWS)]
        names = ["images", *["given their codes"] * DRAWS]
        pictures.image_rows(picture, np.stack([some, *redrawn]), names, f"Reconstructions: {title}")
        kept.replace(folder / "reconstructions.png", picture.getvalue())
    return draws


def _enlargements(model: SuperResolution, images: data.Array, title: str, temperature: float) -> bytes:
    """A picture of low resolutions, and below each what is drawn from p(x | l), and the image itself."""
    some = np.asarray(images[:RECONSTRUCTED])
    low = model.encode(some)
    warm = {} if temperature == 1.0 else {"temperature": temperature}
    drawn = [model.sample(low, seed=(0, i), **warm).numpy().astype(np.uint8) for i in range(DRAWS)]
    rows = [model.enlarged(low).numpy().astype(np.uint8), *drawn, some]
    names = ["low resolution", *["drawn given it"] * DRAWS, "the image"]
    picture = io.BytesIO()
    pictures.image_rows(picture, np.stack(rows), names, f"Super-resolution: {title}")
    return picture.getvalue()


def _drawn(
    family: Family, model: Any, count: int, progress: bool, temperature: float
) -> tuple[np.ndarray, tf.Tensor | None]:
    """Samples as uint8 `[count, H, W, C]`; of a flow also as it drew them."""
    if protocols.is_flow(model) and isinstance(model, Dequantized):
        draws = model.draws(count, SEED, temperature)
        return quantization.quantize(draws).numpy().astype(np.uint8), draws
    assert family.sample is not None
    return family.sample(model, count, SEED, progress, temperature).numpy().astype(np.uint8), None
