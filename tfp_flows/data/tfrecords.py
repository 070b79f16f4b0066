"""The source `tfrecord:GLOB`, read as a whole: encoded pictures, in TFRecords.

What a record holds stands in `tfp_flows.data.streams`, which reads them one after the other. There are no
official splits: all are taken from them by their keys, as in `splits`. A record without a key has its file
and place for one; the folder, up to the first part of a path that is a pattern, does not count, so that
files may move.
"""

import glob
import os

from tfp_flows.data import streams
from tfp_flows.data.decoding import GREY, RGB, Decoded, Fact, Unfit
from tfp_flows.data.errors import DataError
from tfp_flows.data.gathering import Gathering
from tfp_flows.data.image_set import ImageSet
from tfp_flows.data.names import Source
from tfp_flows.data.operations import apply_to_each
from tfp_flows.data.reading import ReadingOptions


def read_tfrecords(source: Source, split: str, reading: ReadingOptions) -> ImageSet:
    """Reads all images of TFRecords.

    Args:
      source: Of the kind "tfrecord".
      split: What they are called.
      reading: How they are read.

    Returns:
      The images, without labels; their keys are those of the records, or "FILE:INDEX".

    Raises:
      DataError: If there is no such file, or no image in them; if some cannot be taken (unless they are to
        be skipped); or if they differ in shape.
    """
    folder = _folder(source.argument)
    read = [_treated(item, reading) for item in streams.raw(source, reading)]
    if not read:
        raise DataError(f"{source.text}: holds no image")
    gathering = Gathering(source.text, "", len(read), reading)
    for item, made in read:
        key = item.key.removeprefix(folder)
        gathering.fail(key, made) if isinstance(made, DataError) else gathering.add(key, made)
    images, keys, _, _ = gathering.finish()
    return ImageSet(source.text, split, images, None, keys)


def _treated(item: streams.Item, reading: ReadingOptions) -> tuple[streams.Item, Decoded | DataError]:
    """A record's key, and what its picture becomes."""
    if item.image is None:
        return item, Unfit(item.error)
    (made,) = apply_to_each(reading.operations, [item.image], "")
    if isinstance(made, DataError):
        return item._replace(image=None), made
    height, width, channels = item.image.shape
    return item._replace(image=None), Decoded(made, Fact(height, width, GREY if channels == 1 else RGB))


def _folder(pattern: str) -> str:
    """The beginning of all paths that a pattern stands for: the parts that are no patterns themselves."""
    parts = os.path.expanduser(pattern).split("/")[:-1]
    plain = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return "".join(f"{part}/" for part in parts[:plain])
