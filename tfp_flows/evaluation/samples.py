"""The images that a model drew when it was evaluated: RUN/evaluation/samples.png, and as an array."""

import io
import pathlib
import zipfile

import numpy as np

from tfp_flows.evaluation.kept import replace
from tfp_flows.pages import pictures

ARRAY, PICTURE = "samples.npz", "samples.png"


def write_samples(folder: pathlib.Path, images: np.ndarray, step: int, title: str) -> None:
    """Writes them.

    Args:
      folder: RUN/evaluation.
      images: uint8 `[N, H, W, C]`.
      step: To which the model was trained.
      title: Of the picture.
    """
    picture, array = io.BytesIO(), io.BytesIO()
    pictures.image_grid(picture, images, title)
    replace(folder / PICTURE, picture.getvalue())
    np.savez_compressed(array, images=images, step=np.int64(step))
    replace(folder / ARRAY, array.getvalue())


def read_samples(folder: pathlib.Path, step: int | None) -> np.ndarray | None:
    """Those that the model of this step drew, uint8 `[N, H, W, C]`; None where there are none.

    Args:
      folder: RUN/evaluation.
      step: To which the model is trained.
    """
    try:
        with np.load(folder / ARRAY, allow_pickle=False) as archive:
            images, known = archive["images"], int(archive["step"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    sound = images.dtype == np.uint8 and images.ndim == 4 and images.size > 0
    return images if sound and known == step else None
