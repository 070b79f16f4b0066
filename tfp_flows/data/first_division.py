"""The division 1: that of runs made before a run said which division is its own.

Validation and calibration are taken from the training images by a permutation that depends on their number,
and so is the test split of an archive's `images`. A single image more or less moves most others to another
split.

The random streams here are `np.random.RandomState`'s, which NumPy has frozen: the division is the
same with every version of NumPy. (Those of `np.random.Generator` may change.)
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfp_flows.data.errors import DataError
from tfp_flows.data.folder import list_images, read_files
from tfp_flows.data.image_set import ImageSet
from tfp_flows.data.names import Source
from tfp_flows.data.npz import npz_splits
from tfp_flows.data.official import read_official
from tfp_flows.data.reading import ReadingOptions
from tfp_flows.data.splits import is_test
from tfp_flows.data.tfds import TfdsOptions

_MAX_HELD_OUT = 5000
_HELD_OUT_FRACTION = 20
_TEST_FRACTION = 10
_MIN_IMAGES = 3


def divide_training_images(num_images: int, name: str) -> dict[str, np.ndarray]:
    """Divides n training images by a fixed permutation, which depends on n alone.

    Validation and calibration get max(1, min(5000, n // 20)) images each, train gets the rest. The
    indices are in permuted order, so the first images of a split are a fair sample of it, even
    where the source is sorted by class.

    Args:
      num_images: n, the number of training images of the source.
      name: The source, for the message.

    Returns:
      The int64 indices of "train", "validation" and "calibration": disjoint, together 0..n-1.

    Raises:
      DataError: If n < 3.
    """
    if num_images < _MIN_IMAGES:
        raise DataError(
            f"{name}: {num_images} training image(s) cannot be divided into train, validation and "
            f"calibration: give at least {_MIN_IMAGES}"
        )
    held_out = max(1, min(_MAX_HELD_OUT, num_images // _HELD_OUT_FRACTION))
    order = np.random.RandomState(0).permutation(num_images).astype(np.int64)
    return {
        "validation": order[:held_out],
        "calibration": order[held_out : 2 * held_out],
        "train": order[2 * held_out :],
    }


def read_first_official(
    source: Source, split: str, options: TfdsOptions, reading: ReadingOptions
) -> ImageSet:
    """Reads "train" (to be divided further) or "test" as it was then.

    Args:
      source: The source; not photos, nor a synthetic one.
      split: "train" or "test".
      options: Where TFDS looks.
      reading: How pictures are read.

    Raises:
      DataError: If the images are not to be had.
    """
    if source.kind == "folder":
        return _read_folder(source.argument, split, reading)
    if source.kind == "npz" and npz_splits(source.argument) == ("images",):
        return _tenth(read_official(source, "train", options, reading), split)
    if source.kind == "tfrecord":
        return read_official(source, "train", options, reading, functools.partial(_by_hash, split))
    return read_official(source, split, options, reading)


def _by_hash(split: str, keys: Sequence[str]) -> np.ndarray:
    return np.flatnonzero([is_test(key) == (split == "test") for key in keys])


def _read_folder(path: str, split: str, reading: ReadingOptions) -> ImageSet:
    """Subfolders `train` and `test`, both, are splits, and what lies beside them is ignored."""
    files = list_images(path)
    root = Path(path).expanduser()
    if (root / "train").is_dir() and (root / "test").is_dir():
        return read_files(path, [file for file in files if file.startswith(f"{split}/")], split, reading)
    return read_files(path, [file for file in files if is_test(file) == (split == "test")], split, reading)


def _tenth(whole: ImageSet, split: str) -> ImageSet:
    if len(whole) < 2:
        raise DataError(f"{whole.name}: one image cannot be divided: give keys train and test")
    order = np.random.RandomState(0).permutation(len(whole))
    num_test = max(1, len(whole) // _TEST_FRACTION)
    chosen = order[:num_test] if split == "test" else order[num_test:]
    return whole.select(np.sort(chosen), split)
