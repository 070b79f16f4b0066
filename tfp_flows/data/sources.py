"""One split of a source, whichever kind of source it is."""

import dataclasses
import functools
import glob
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfp_flows.data import first_division
from tfp_flows.data.embedded import OWN_SPLITS, own_split
from tfp_flows.data.errors import DataError
from tfp_flows.data.folder import list_images
from tfp_flows.data.image_set import ALL, ImageSet
from tfp_flows.data.listing import root_of
from tfp_flows.data.names import PATH_KINDS, SYNTHETIC_KINDS, Source
from tfp_flows.data.official import missing_splits, official_splits, read_all, read_official, texts
from tfp_flows.data.reading import ReadingOptions
from tfp_flows.data.splits import (
    CALIBRATION_FRACTION,
    CALIBRATION_FRACTION_OF_FILES,
    divide,
    in_order_of_chance,
)
from tfp_flows.data.synthetic import constant_images, noise_images
from tfp_flows.data.tfds import TfdsOptions

_NUM_CACHED = 2


def read_split(
    source: Source,
    split: str,
    options: TfdsOptions,
    image_shape: tuple[int, int, int] | None,
    division: int,
    reading: ReadingOptions,
) -> ImageSet:
    """Reads one split of a source; without operations, but for those of `reading` where it has pictures.

    Args:
      source: The source.
      split: One of `SPLITS`, or "all".
      options: Where TFDS looks.
      image_shape: (H, W, C), needed by the synthetic sources alone.
      division: How splits are taken from training images: one of `splits.DIVISIONS`.
      reading: How pictures are read, of a folder or of TFRecords.

    Returns:
      The images; "test" and "all" in the order of the source, the others in an order of chance.

    Raises:
      DataError: If the source or the split is not to be had.
    """
    if source.kind in SYNTHETIC_KINDS:
        return _synthetic(source, split, image_shape)
    if source.kind in OWN_SPLITS:
        return own_split(source.kind, split)
    if split == ALL:
        return read_all(source, options, reading)
    if division == 1:
        return _by_first_division(source, split, options, reading)
    return _by_keys(source, split, options, reading)


def fingerprint(source: Source) -> str:
    """A string that changes when the source's files do: it keeps caches from serving old files."""
    if source.kind == "folder":
        root = Path(root_of(source.argument))
        files = [root / file for file in list_images(source.argument)]
    elif source.kind == "npz":
        file = Path(os.path.expanduser(source.argument))
        files = [file] if file.is_file() else []
    elif source.kind == "tfrecord":
        files = [Path(file) for file in sorted(glob.glob(os.path.expanduser(source.argument)))]
    else:
        return ""
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file}\0{status.st_mtime_ns}\0{status.st_size}\0".encode(errors="replace"))
    return digest.hexdigest()


def clear_cache() -> None:
    """Forgets the decoded training images that are kept for the next call: at most two sources."""
    _training.cache_clear()
    _first_training.cache_clear()


def has_own_test(source: Source) -> bool:
    """Whether a source has a test split of its own, which is not taken from its training images.

    Raises:
      DataError: As `official_splits`.
    """
    return source.kind not in PATH_KINDS or "test" in official_splits(source)


def _by_keys(source: Source, split: str, options: TfdsOptions, reading: ReadingOptions) -> ImageSet:
    """The source's own split where it has one, else what `divide` takes from its training images."""
    missing = missing_splits(source)
    if split != "train" and split not in missing:
        whole = read_official(source, split, options, reading)
        return whole if split == "test" else whole.select(in_order_of_chance(whole.keys))
    if split == "test":
        chosen = functools.partial(_test, missing, source.text)
        return dataclasses.replace(read_official(source, "train", options, reading, chosen), split=split)
    training = _training(source, options, missing, reading, fingerprint(source))
    rest = tuple(each for each in missing if each != "test")
    fraction = CALIBRATION_FRACTION_OF_FILES if source.kind in PATH_KINDS else CALIBRATION_FRACTION
    divided = divide(texts(source, training.keys), rest, source.text, fraction)
    return training.select(divided[split], split)


@functools.lru_cache(maxsize=_NUM_CACHED)
def _training(
    source: Source,
    options: TfdsOptions,
    missing: tuple[str, ...],
    reading: ReadingOptions,
    fingerprint: str,
) -> ImageSet:
    """All training images but those of the test split; `fingerprint` is there for the cache's key alone."""
    del fingerprint
    if "test" not in missing:
        return read_official(source, "train", options, reading, with_others=True)
    rest = functools.partial(_not_test, missing, source.text)
    return read_official(source, "train", options, reading, rest, with_others=True)


@functools.lru_cache(maxsize=_NUM_CACHED)
def _first_training(
    source: Source, options: TfdsOptions, reading: ReadingOptions, fingerprint: str
) -> ImageSet:
    """Likewise by the first division."""
    del fingerprint
    return first_division.read_first_official(source, "train", options, reading)


def _test(missing: tuple[str, ...], name: str, keys: Sequence[str]) -> np.ndarray:
    return divide(keys, missing, name)["test"]


def _not_test(missing: tuple[str, ...], name: str, keys: Sequence[str]) -> np.ndarray:
    divided = divide(keys, missing, name)
    return np.sort(np.concatenate([divided[split] for split in divided if split != "test"]))


def _by_first_division(
    source: Source, split: str, options: TfdsOptions, reading: ReadingOptions
) -> ImageSet:
    if split == "test":
        return first_division.read_first_official(source, "test", options, reading)
    training = _first_training(source, options, reading, fingerprint(source))
    return training.select(first_division.divide_training_images(len(training), source.text)[split], split)


def _synthetic(source: Source, split: str, image_shape: tuple[int, int, int] | None) -> ImageSet:
    if split not in ("test", ALL):
        raise DataError(f"{source.text}: has only a test split, no {split} split")
    if image_shape is None:
        raise DataError(f"{source.text}: takes the model's image shape: give `image_shape`")
    if source.kind == "noise":
        return noise_images(image_shape)
    return constant_images(source.argument, image_shape)
