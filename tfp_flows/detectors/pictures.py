"""What a person has, paths, PIL images and arrays, as the images that a model takes."""

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from tfp_flows import data
from tfp_flows.detectors.errors import DetectorError

Picture: TypeAlias = str | bytes | os.PathLike | Image.Image | np.ndarray
Pictures: TypeAlias = npt.ArrayLike | data.ImageSet | Picture | Sequence[Picture]


def is_one(value: object) -> bool:
    """Whether `value` is one picture: a path, the bytes of a file, a PIL image, an array `[H, W(, C)]`."""
    return _is_file(value) or (isinstance(value, np.ndarray) and value.ndim in (2, 3))


def are_files(value: object) -> bool:
    """Whether `value` is a path or PIL image, or a sequence in which there is one."""
    if _is_file(value):
        return True
    return isinstance(value, Sequence) and any(map(_is_file, value))


def as_images(
    pictures: Pictures,
    preparation: data.Preparation | None,
    image_shape: tuple[int, int, int] | None,
    owner: str,
) -> npt.ArrayLike | data.ImageSet:
    """Pictures as images of the model's shape; arrays that are no pictures are left as they are.

    An array of the model's shape is taken to be prepared already.

    Args:
      pictures: Paths, PIL images, the bytes of files, arrays: one, or a sequence with one such in it; or an
        array of images, which is returned.
      preparation: How pictures become images; None: they must have the model's shape as they are.
      image_shape: The model's, or None if it is not known.
      owner: Whose they are to be, the first word of a message.

    Raises:
      DataError: If a picture cannot be had.
      DetectorError: If nothing says of which shape they must be.
    """
    if not are_files(pictures):
        return pictures  # type: ignore[return-value]
    return prepared(pictures, preparation, image_shape, owner)


def prepared(
    pictures: Pictures,
    preparation: data.Preparation | None,
    image_shape: tuple[int, int, int] | None,
    owner: str,
) -> np.ndarray:
    """As `as_images`, with arrays of another shape than the model's prepared too: uint8 `[N, H, W, C]`."""
    if preparation is None:
        if image_shape is None:
            raise DetectorError(f"{owner}: the shape of the images is not known yet; call fit first.")
        preparation = data.Preparation((), image_shape)
    several: list[Any] = [pictures] if is_one(pictures) else list(pictures)  # type: ignore[arg-type]
    fits = [isinstance(one, np.ndarray) and one.shape == preparation.image_shape for one in several]
    images = [
        one if ready else data.read_pictures(one, preparation)[0]
        for one, ready in zip(several, fits, strict=True)
    ]
    if not images:
        raise DetectorError(f"{owner}: there is no picture.")
    return np.stack(images)


def called(picture: object, number: int) -> str:
    """What a picture is called: its file's name as it was given, else its number."""
    if isinstance(picture, str | os.PathLike):
        return os.fspath(picture)
    name = getattr(picture, "filename", "")
    return str(name) if isinstance(name, str | os.PathLike) and name else f"picture {number + 1}"


def _is_file(value: object) -> bool:
    return isinstance(value, str | bytes | os.PathLike | Image.Image)
