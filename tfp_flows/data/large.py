"""Sources that would take too much memory: how much they would, and the arrays among them, row by row.

What decides is what the whole source would take in memory, all its splits: pictures after the operations
that treat each image alone, arrays before or after those, whichever is more.
"""

import functools
import math
from collections.abc import Iterator

import numpy as np
import tqdm

from tfp_flows.data import folder, npz, tfds, tfrecords
from tfp_flows.data.copying import CHUNK_BYTES, description, rows_copy
from tfp_flows.data.decoded_copy import Contents
from tfp_flows.data.image_set import ImageSet
from tfp_flows.data.names import Source
from tfp_flows.data.operations import apply_all
from tfp_flows.data.reading import ReadingOptions
from tfp_flows.data.storage import Copying
from tfp_flows.data.tfds import TfdsOptions

_NUM_CACHED = 64
_CHUNK_IMAGES = 1024


@functools.lru_cache(maxsize=_NUM_CACHED)
def sizes(
    source: Source, options: TfdsOptions, reading: ReadingOptions, fingerprint: str
) -> tuple[int, int]:
    """(bytes that all images of a source would take in memory, those of one); 0 of one without files.

    Args:
      source: The source.
      options: Where TFDS looks.
      reading: With the operations that treat each image alone.
      fingerprint: Of the files: for the cache's key alone.

    Raises:
      DataError: If there is no such source.
    """
    del fingerprint
    if source.kind == "folder":
        return folder.sizes(source.argument, reading)
    if source.kind == "tfrecord":
        return tfrecords.sizes(source, reading)
    found = [_sizes(part, options, reading, source) for part in _parts(source)]
    return sum(whole for whole, _ in found), max((one for _, one in found), default=0)


def is_copied(source: Source, part: str, reading: ReadingOptions) -> bool:
    """Whether an array ("images", or that of a split) has a copy; not one that is in Fortran's order."""
    return reading.copying is not None and part in _parts(source)


def read_copy(
    source: Source, part: str, split: str, options: TfdsOptions, reading: ReadingOptions, copying: Copying
) -> ImageSet:
    """An array of an archive, or a split of TFDS, from its copy on the disk, made if it is not there.

    Args:
      source: The source.
      part: "images", or the split.
      split: What the set is called.
      options: Where TFDS looks.
      reading: What is done to each image.
      copying: Where the copy lies.

    Returns:
      The images, with the operations applied to them, as `Stored`; in the order of the source.

    Raises:
      DataError: If an image cannot be had, or the disk has no room.
    """
    keys: list[str] = []
    labels: list[int] = []
    count, _, files = _described(source, part, options)

    at_once = max(1, min(_CHUNK_IMAGES, CHUNK_BYTES // copying.image_bytes))

    def rows() -> Iterator[np.ndarray]:
        some: list[np.ndarray] = []
        with tqdm.tqdm(total=count, unit="image", desc=f"decoding {source.text}", disable=None) as bar:
            for key, image, label in _rows(source, part, options):
                keys.append(key)
                labels.extend([] if label is None else [label])
                some.append(image)
                if len(some) >= at_once:
                    yield apply_all(reading.operations, np.stack(some), source.text)
                    bar.update(len(some))
                    some = []
            if some:
                yield apply_all(reading.operations, np.stack(some), source.text)

    def contents() -> Contents:
        return Contents(tuple(keys), np.array(labels, np.int64) if labels else None)

    what = description(source, reading, copying.fingerprint + files, part)
    num_bytes, _ = _sizes(part, options, reading, source)
    images, known = rows_copy(what, source.text, num_bytes, rows, contents, copying.storage)
    return ImageSet(source.text, split, images, known.labels, known.keys)


def _parts(source: Source) -> tuple[str, ...]:
    if source.kind == "npz":
        path = source.argument
        return tuple(part for part in npz.npz_splits(path) if npz.is_in_rows(path, part))
    return ("train", "test") if source.kind == "tfds" else ()


def _described(source: Source, part: str, options: TfdsOptions) -> tuple[int, tuple[int, ...], str]:
    """(count, image shape, what tells the files of TFDS)."""
    if source.kind == "npz":
        count, *shape = npz.shape_of(source.argument, part)
        return count, tuple(shape), ""
    found = tfds.describe(source.argument, part, options)
    return found.num_examples, found.image_shape, found.files


def _rows(source: Source, part: str, options: TfdsOptions) -> Iterator[tuple[str, np.ndarray, int | None]]:
    """(key, image, label) of each image."""
    if source.kind == "npz":
        return npz.iterate(source.argument, part)
    return tfds.iterate(source.argument, part, options)


def _sizes(part: str, options: TfdsOptions, reading: ReadingOptions, source: Source) -> tuple[int, int]:
    count, shape, _ = _described(source, part, options)
    made = apply_all(reading.operations, np.zeros([1, *shape], np.uint8), source.text)
    one = max(math.prod(shape), made.size)
    return count * one, one
