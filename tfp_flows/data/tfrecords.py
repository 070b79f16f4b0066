"""The source `tfrecord:GLOB`, read as a whole: encoded pictures of one shape, in TFRecords.

What a record holds stands in `tfp_flows.data.streams`, which reads them one after the other. There are no
official splits: an image is for the test split if a hash of its key says so, about one in ten. A record
without a key has its file and place for one; the folder, up to the first part of a path that is a pattern,
does not count, so that files may move.
"""

import glob
import hashlib
import os

import numpy as np

from tfp_flows.data import streams
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import ImageSet
from tfp_flows.data.names import Source

_TEST_FRACTION = 10


def read_tfrecords(source: Source, split: str) -> ImageSet:
    """Reads one official split of TFRecords.

    Args:
      source: Of the kind "tfrecord".
      split: "train" or "test".

    Returns:
      The images, without labels; their keys are those of the records, or "FILE:INDEX".

    Raises:
      DataError: If there is no such file, or no image for this split, or a record cannot be read, or an
        image differs in shape from the first one.
    """
    folder = _folder(source.argument)
    images: list[np.ndarray] = []
    keys: list[str] = []
    count = 0
    for item in streams.raw(source):
        if item.image is None:
            raise DataError(f"{source.text}: {item.key}: {item.error}")
        count += 1
        key = item.key.removeprefix(folder)
        if _split(key) != split:
            continue
        if images and item.image.shape != images[0].shape:
            had, first = ("x".join(map(str, image.shape)) for image in (item.image, images[0]))
            raise DataError(
                f"{source.text}: {key} has shape {had}, but {keys[0]} has {first}: all images must have "
                f"the same shape"
            )
        images.append(item.image)
        keys.append(key)
    if not images:
        raise DataError(f"{source.text}: none of its {count} image(s) is for the {split} split")
    return ImageSet(source.text, split, np.stack(images), None, tuple(keys))


def _folder(pattern: str) -> str:
    """The beginning of all paths that a pattern stands for: the parts that are no patterns themselves."""
    parts = os.path.expanduser(pattern).split("/")[:-1]
    plain = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return "".join(f"{part}/" for part in parts[:plain])


def _split(key: str) -> str:
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
    return "test" if int.from_bytes(digest[:8], "big") % _TEST_FRACTION == 0 else "train"
