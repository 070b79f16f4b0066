"""How sources are decoded image by image, in bounded memory: for those that are too large for it."""

import collections
import dataclasses
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfp_flows.data import folder, npz, records, streams, tfds, tfrecords
from tfp_flows.data.errors import DataError
from tfp_flows.data.names import Source

_NUM_THREADS = min(8, os.cpu_count() or 1)
_AHEAD, _AHEAD_BYTES = 64, 2**23  # of decoded pictures, but one a thread at least


class Decoded(NamedTuple):
    """One image.

    Attributes:
      key: Identifies it within the source.
      image: uint8 `[H, W, C]`.
      label: An integer, or None where the source has none.
    """

    key: str
    image: np.ndarray
    label: int | None = None


@dataclasses.dataclass(frozen=True)
class OneByOne:
    """How a source, or a split that it has of its own, is decoded image by image.

    Attributes:
      count: How many images there are.
      encoded: Function to an iterator over them as they lie there.
      decode: Function of one of those to `Decoded`, or None where each already is.
      files: A string that changes when the files do, where `sources.fingerprint` is none.
    """

    count: int
    encoded: Callable[[], Iterator[Any]]
    decode: Callable[[Any], Decoded] | None = None
    files: str = ""

    def first(self) -> Decoded | None:
        """The first image, if there is one."""
        for each in self.encoded():
            return each if self.decode is None else self.decode(each)
        return None

    def __iter__(self) -> Iterator[Decoded]:
        """All images, in their order; several threads decode."""
        return self.encoded() if self.decode is None else _in_threads(self.decode, self.encoded())


def parts_of(source: Source) -> tuple[str, ...]:
    """What is decoded one by one: "" for a source as a whole, or the splits that it has of its own.

    None of a source that needs no files; of an archive not those arrays that are in the order of Fortran.
    """
    if source.kind in ("folder", "tfrecord"):
        return ("",)
    if source.kind == "npz":
        path = source.argument
        return tuple(part for part in npz.npz_splits(path) if npz.is_in_rows(path, part))
    return ("train", "test") if source.kind == "tfds" else ()


def of_source(source: Source, part: str, options: tfds.TfdsOptions) -> OneByOne:
    """How one of `parts_of` is decoded.

    Raises:
      DataError: If there is no such source.
    """
    if source.kind == "folder":
        return _of_folder(source.argument)
    if source.kind == "tfrecord":
        return _of_records(source)
    if source.kind == "npz":
        return _of_archive(source.argument, part)
    found = tfds.describe(source.argument, part, options)
    images = tfds.iterate
    return OneByOne(
        found.num_examples,
        lambda: (Decoded(*each) for each in images(source.argument, part, options)),
        files=found.files,
    )


def _of_folder(path: str) -> OneByOne:
    root, files = Path(path).expanduser(), folder.list_images(path)
    return OneByOne(
        len(files), lambda: iter(files), lambda file: Decoded(file, folder.decode_file(root / file))
    )


def _of_records(source: Source) -> OneByOne:
    beginning = tfrecords.folder_of(source.argument)

    def decode(encoded: tuple[bytes, str]) -> Decoded:
        item = streams.decode_record(*encoded)
        if item.image is None:
            raise DataError(f"{source.text}: {item.key}: {item.error}")
        return Decoded(item.key.removeprefix(beginning), item.image)

    count = sum(records.count_records(file) for file in streams.record_files(source.argument))
    return OneByOne(count, lambda: streams.raw_records(source.argument), decode)


def _of_archive(path: str, part: str) -> OneByOne:
    labels = npz.read_labels(path, part)

    def rows() -> Iterator[Decoded]:
        for index, (key, image) in enumerate(npz.iterate_rows(path, part)):
            yield Decoded(key, image, None if labels is None else int(labels[index]))

    return OneByOne(npz.count_rows(path, part), rows)


def _in_threads(function: Callable[[Any], Decoded], items: Iterator[Any]) -> Iterator[Decoded]:
    """`map`, in order, by several threads; only so many items are read and held ahead."""
    ahead: collections.deque[Future[Decoded]] = collections.deque()
    most = _NUM_THREADS
    pool = ThreadPoolExecutor(_NUM_THREADS)
    try:
        for item in items:
            ahead.append(pool.submit(function, item))
            while len(ahead) >= most:
                found = ahead.popleft().result()
                most = max(_NUM_THREADS, min(_AHEAD, _AHEAD_BYTES // max(1, found.image.size)))
                yield found
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
