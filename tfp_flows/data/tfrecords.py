"""The source `tfrecord:GLOB`, read as a whole: encoded pictures, in TFRecords.

What a record holds stands in `tfp_flows.data.streams`, which reads them one after the other. There are no
official splits: all are taken from them by their keys, as in `splits`. A record without a key has its file
and place for one; the folder, up to the first part of a path that is a pattern, does not count, so that
files may move.
"""

import functools
import glob
import itertools
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tqdm

from tfp_flows.data import streams
from tfp_flows.data.copying import MakeRoom, gathered_copy
from tfp_flows.data.decoding import GREY, RGB, Decoded, Fact, Unfit
from tfp_flows.data.errors import DataError
from tfp_flows.data.gathering import Gathered, Gathering, InMemory, warn_of_left_out
from tfp_flows.data.image_set import ImageSet
from tfp_flows.data.names import Source
from tfp_flows.data.operations import apply_to_each
from tfp_flows.data.reading import ReadingOptions
from tfp_flows.data.records import count_records, files_of, records_of
from tfp_flows.data.threads import in_threads

_AT_ONCE, _MOST_BYTES_MADE = 64, 2**20  # records, and bytes made of them, that a thread hands over
_MOST_BYTES = 2**25  # of decoded pictures that it holds
_Encoded = tuple[bytes | None, str, str]


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
    if reading.copying is None:
        found = _gather(source, reading, InMemory)
    else:
        found = gathered_copy(source, reading, reading.copying, functools.partial(_gather, source, reading))
        warn_of_left_out(source.text, found)
    return ImageSet(source.text, split, found.images, None, found.keys)


def sizes(source: Source, reading: ReadingOptions) -> tuple[int, int]:
    """(bytes that all images of TFRecords would take in memory, those of one), as the first one tells.

    Raises:
      DataError: If there is no such file.
    """
    for encoded in records_of(source.argument):
        ((_, made),) = _treated(reading, [encoded])
        if isinstance(made, Decoded):
            return _count(source) * made.image.size, made.image.size
    return 0, 0


def _count(source: Source) -> int:
    return sum(count_records(file) for file in files_of(source.argument))


def _gather(source: Source, reading: ReadingOptions, room: MakeRoom) -> Gathered:
    folder, count = _folder(source.argument), _count(source)
    if not count:
        raise DataError(f"{source.text}: holds no image")
    gathering = Gathering(source.text, "", count, reading, room)
    at_once = _AT_ONCE
    if reading.copying is not None:
        at_once = max(1, min(_AT_ONCE, _MOST_BYTES_MADE // max(1, reading.copying.image_bytes)))
    batches = _batches(records_of(source.argument), at_once)
    shown = None if reading.copying is not None else True
    with tqdm.tqdm(total=count, unit="image", desc=f"decoding {source.text}", disable=shown) as bar:
        for treated in in_threads(functools.partial(_treated, reading), batches):
            for place, made in treated:
                key = place.removeprefix(folder)
                gathering.fail(key, made) if isinstance(made, DataError) else gathering.add(key, made)
            bar.update(len(treated))
    return gathering.finish()


def _batches(encoded: Iterator[_Encoded], size: int) -> Iterator[list[_Encoded]]:
    while batch := list(itertools.islice(encoded, size)):
        yield batch


def _treated(reading: ReadingOptions, batch: Sequence[_Encoded]) -> list[tuple[str, Decoded | DataError]]:
    """The keys of some records, and what their pictures become."""
    found: list[tuple[str, Decoded | DataError]] = []
    items: list[streams.Item] = []
    held = 0
    for encoded in batch:
        item = streams.decode_record(*encoded, reading.at_decoding)
        items.append(item)
        held += 0 if item.image is None else item.image.nbytes
        if held > _MOST_BYTES:
            found += _all_made(items, reading)
            items, held = [], 0
    return found + _all_made(items, reading)


def _all_made(
    items: Sequence[streams.Item], reading: ReadingOptions
) -> list[tuple[str, Decoded | DataError]]:
    images = [item.image for item in items if item.image is not None]
    made = iter(apply_to_each(reading.operations, images, ""))
    return [(item.key, _made(item, made)) for item in items]


def _made(item: streams.Item, made: Iterator[np.ndarray | DataError]) -> Decoded | DataError:
    if item.image is None:
        return Unfit(item.error)
    image = next(made)
    if isinstance(image, DataError):
        return image
    height, width, channels = item.image.shape
    return Decoded(image, Fact(height, width, GREY if channels == 1 else RGB))


def _folder(pattern: str) -> str:
    """The beginning of all paths that a pattern stands for: the parts that are no patterns themselves."""
    parts = os.path.expanduser(pattern).split("/")[:-1]
    plain = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return "".join(f"{part}/" for part in parts[:plain])
