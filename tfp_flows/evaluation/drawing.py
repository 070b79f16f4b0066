"""Pictures of what a run's model draws, beside the table of its evaluation."""

import io
import pathlib
from typing import Any

import numpy as np

from tfp_flows import data
from tfp_flows.distributions import ClassMixture, protocols
from tfp_flows.evaluation import by_class, kept
from tfp_flows.models import Family
from tfp_flows.pages import pictures

SEED = (0, 0)
RECONSTRUCTED, DRAWS = 8, 3  # images, and how often each is drawn from its code


def draw(
    folder: pathlib.Path,
    family: Family,
    model: Any,
    images: data.Array,
    count: int,
    title: str,
    progress: bool,
) -> None:
    """Writes `samples.png`; of a model with a condition also those by class, or reconstructions.

    Args:
      folder: RUN/evaluation.
      family: The model's.
      model: The model.
      images: uint8 `[N, H, W, C]`, the first of which are reconstructed.
      count: How many images are drawn.
      title: What is drawn from.
      progress: Whether to show a bar.
    """
    if family.sample is not None:
        drawn = family.sample(model, count, SEED, progress)
        picture = io.BytesIO()
        pictures.image_grid(picture, drawn.numpy().astype(np.uint8), f"Samples: {title}")
        kept.replace(folder / "samples.png", picture.getvalue())
    picture = io.BytesIO()
    if isinstance(model, ClassMixture):
        rows = by_class.samples(model, SEED)
        pictures.image_rows(picture, rows, model.class_names[: len(rows)], f"Samples by class: {title}")
        kept.replace(folder / "samples_by_class.png", picture.getvalue())
    elif isinstance(model, protocols.CodedModel):
        some = np.asarray(images[:RECONSTRUCTED])
        redrawn = [model.reconstruct(some, seed=(0, i)).numpy().astype(np.uint8) for i in range(DRAWS)]
        names = ["images", *["given their codes"] * DRAWS]
        pictures.image_rows(picture, np.stack([some, *redrawn]), names, f"Reconstructions: {title}")
        kept.replace(folder / "reconstructions.png", picture.getvalue())
