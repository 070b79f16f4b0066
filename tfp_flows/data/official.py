"""The splits that a source has of its own, and their images, read as they lie there."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from tfp_flows.data.copying import applied
from tfp_flows.data.embedded import digit_images
from tfp_flows.data.errors import DataError
from tfp_flows.data.folder import list_images, read_files, with_images
from tfp_flows.data.image_set import ALL, ImageSet, joined
from tfp_flows.data.large import is_copied, read_copy
from tfp_flows.data.layout import official_splits as splits_of_folder
from tfp_flows.data.listing import list_folder
from tfp_flows.data.names import Source
from tfp_flows.data.npz import npz_splits, read_npz
from tfp_flows.data.reading import ReadingOptions
from tfp_flows.data.splits import HELD_OUT
from tfp_flows.data.tfds import TfdsOptions, label_names, read_tfds
from tfp_flows.data.tfrecords import read_tfrecords

Choose = Callable[[Sequence[str]], np.ndarray]


def official_splits(source: Source) -> tuple[str, ...]:
    """Those of "train", "validation", "calibration" and "test" that a source has: ("train",) if not divided.

    Raises:
      DataError: If a folder or an archive cannot be read, or is divided in a way that is refused.
    """
    if source.kind == "folder":
        return tuple(splits_of_folder(source.argument, list_images(source.argument)))
    if source.kind == "npz":
        found = npz_splits(source.argument)
        return ("train",) if found == ("images",) else found
    return ("train",) if source.kind == "tfrecord" else ("train", "test")


def missing_splits(source: Source) -> tuple[str, ...]:
    """Those of "test", "validation" and "calibration" that are taken from a source's training images.

    The test split never is in an archive that has `train` or `test`: who asks for it is told.

    Raises:
      DataError: As `official_splits`.
    """
    own = official_splits(source)
    if source.kind == "npz" and npz_splits(source.argument) != ("images",):
        own += ("test",)
    return tuple(split for split in HELD_OUT if split not in own)


def read_official(
    source: Source,
    split: str,
    options: TfdsOptions,
    reading: ReadingOptions,
    choose: Choose | None = None,
    with_others: bool = False,
) -> ImageSet:
    """Reads a split that a source has of its own, or some of it.

    Args:
      source: The source; not photos, nor a synthetic one.
      split: One of `official_splits`.
      options: Where TFDS looks.
      reading: How pictures are read.
      choose: Function of the text that decides upon each image (see `texts`) to the indices of those that
        are wanted; None for all. Files that are not wanted are not read.
      with_others: Of a folder, whether those are looked at all the same, to tell at once of what cannot be
        taken.

    Returns:
      The images, in the order of the indices; without any, in that of the source.

    Raises:
      DataError: If they are not to be had.
    """
    if source.kind == "folder":
        return _read_folder(source.argument, split, reading, choose, with_others)
    part = _part(source, split)
    if reading.copying is not None and is_copied(source, part, reading):
        whole = read_copy(source, part, split, options, reading, reading.copying)
    elif source.kind == "npz":
        whole = _operated(read_npz(source.argument, split), source, reading)
    elif source.kind == "tfrecord":
        whole = read_tfrecords(source, split, reading)
    elif source.kind == "digits":
        whole = digit_images(split)
    else:
        whole = read_tfds(source.argument, split, options)
    if source.kind == "tfds" and whole.labels is not None:
        whole = dataclasses.replace(whole, label_names=label_names(source.argument, options))
    return whole if choose is None else whole.select(choose(texts(source, whole.keys)))


def read_all(source: Source, options: TfdsOptions, reading: ReadingOptions) -> ImageSet:
    """Reads all images of a source, in its order; of a TFDS set its training and its test images.

    Raises:
      DataError: If they are not to be had.
    """
    if source.kind == "folder":
        listing = with_images(source.argument, list_folder(source.argument))
        return read_files(source.argument, listing.images, ALL, reading, listing)
    return joined([read_official(source, split, options, reading) for split in official_splits(source)], ALL)


def _operated(whole: ImageSet, source: Source, reading: ReadingOptions) -> ImageSet:
    """An array in Fortran's order has no copy: it takes here what is done to each image of one."""
    if reading.copying is None:
        return whole
    images = applied(reading.operations, whole.images, source.text, (), reading.copying.storage)
    return dataclasses.replace(whole, images=images)


def _part(source: Source, split: str) -> str:
    """What a split is called in an archive or in TFDS."""
    return "images" if source.kind == "npz" and npz_splits(source.argument) == ("images",) else split


def texts(source: Source, keys: Sequence[str]) -> Sequence[str]:
    """What decides upon each image's split: its key; in an archive its index, whatever the array's name."""
    return [key.rpartition(":")[2] for key in keys] if source.kind == "npz" else keys


def _read_folder(
    path: str, split: str, reading: ReadingOptions, choose: Choose | None, with_others: bool
) -> ImageSet:
    listing = with_images(path, list_folder(path))
    files = splits_of_folder(path, listing.images)
    if split not in files:
        raise DataError(
            f"folder:{path}: has no subfolder {split}, but {' and '.join(files)}: divide it further, or "
            f"give its subfolders other names"
        )
    chosen = files[split]
    if choose is not None and chosen:
        chosen = [chosen[index] for index in choose(chosen)]
    return read_files(path, chosen, split, reading, listing, with_others)
