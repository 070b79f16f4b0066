"""The source `tfrecord:GLOB`, read as a whole: encoded pictures of one shape, in TFRecords.

What a record holds stands in `tfp_flows.data.streams`, which reads them one after the other. There are no
official splits: all are taken from them by their keys, as in `splits`. A record without a key has its file
and place for one; the folder, up to the first part of a path that is a pattern, does not count, so that
files may move.
"""

import glob
import os

import numpy as np

from tfp_flows.data import streams
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import ImageSet
from tfp_flows.data.names import Source


def read_tfrecords(source: Source, split: str) -> ImageSet:
    """Reads all images of TFRecords.

    Args:
      source: Of the kind "tfrecord".
      split: What they are called.

    Returns:
      The images, without labels; their keys are those of the records, or "FILE:INDEX".

    Raises:
      DataError: If there is no such file, or no image in them, or a record cannot be read, or an image
        differs in shape from the first one.
    """
    folder = folder_of(source.argument)
    images: list[np.ndarray] = []
    keys: list[str] = []
    for item in streams.raw(source):
        if item.image is None:
            raise DataError(f"{source.text}: {item.key}: {item.error}")
        key = item.key.removeprefix(folder)
        if images and item.image.shape != images[0].shape:
            had, first = ("x".join(map(str, image.shape)) for image in (item.image, images[0]))
            raise DataError(
                f"{source.text}: {key} has shape {had}, but {keys[0]} has {first}: all images must have "
                f"the same shape"
            )
        images.append(item.image)
        keys.append(key)
    if not images:
        raise DataError(f"{source.text}: holds no image")
    return ImageSet(source.text, split, np.stack(images), None, tuple(keys))


def folder_of(pattern: str) -> str:
    """The beginning of all paths that a pattern stands for: the parts that are no patterns themselves."""
    parts = os.path.expanduser(pattern).split("/")[:-1]
    plain = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return "".join(f"{part}/" for part in parts[:plain])
