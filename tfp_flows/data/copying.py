"""What is decoded into copies on the disk: pictures that are gathered, rows, and what is made of images."""

import functools
import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_flows.data.decoded_copy import IMAGES, Contents, decoded_copy
from tfp_flows.data.gathering import Gathered, Room
from tfp_flows.data.names import Source
from tfp_flows.data.operations import Operation, apply_all
from tfp_flows.data.reading import ReadingOptions
from tfp_flows.data.row_file import RowFile, RowFileWriter
from tfp_flows.data.storage import Copying, Storage
from tfp_flows.data.stored import Array, Stored, chunks

MakeRoom = Callable[[str, int, tuple[int, ...]], Room]
CHUNK_BYTES = 2**22  # of images at once


class _OnDisk:
    """Room for images in a file."""

    def __init__(self, folder: Path, name: str, count: int, image_shape: tuple[int, ...]) -> None:
        """Begins the file."""
        del name, count
        self._path = folder / f"{image_shape[-1]}.npy"
        self._writer = RowFileWriter(self._path, image_shape, np.dtype(np.uint8))

    def add(self, image: np.ndarray) -> None:
        """Takes another one."""
        self._writer.add(image[np.newaxis])

    def finish(self) -> Array:
        """All of them."""
        self._writer.close()
        return Stored([RowFile(self._path)])


def gathered_copy(
    source: Source, reading: ReadingOptions, copying: Copying, gather: Callable[[MakeRoom], Gathered]
) -> Gathered:
    """All pictures of a source, from their copy on the disk, which is made if it is not there.

    Args:
      source: The source.
      reading: How its pictures are read.
      copying: Where the copy lies.
      gather: Function that gathers them in the room that it is given.

    Raises:
      DataError: From `gather`, or if the disk has no room.
    """

    def write(folder: Path) -> Contents:
        images, keys, facts, skipped = gather(functools.partial(_OnDisk, folder))
        assert isinstance(images, Stored) and isinstance(images.pieces[0], RowFile)
        os.replace(images.pieces[0].path, folder / IMAGES)
        for other in folder.glob("[0-9]*.npy"):  # of pictures that were skipped for their channels
            other.unlink()
        return Contents(keys, None, facts, skipped)

    what = description(source, reading, copying.fingerprint)
    images, contents = decoded_copy(what, source.text, copying.num_bytes, write, copying.storage)
    return Gathered(Stored([images]), contents.keys, contents.facts, contents.skipped)


def rows_copy(
    what: Mapping[str, str],
    name: str,
    num_bytes: int,
    rows: Callable[[], Iterable[np.ndarray]],
    contents: Callable[[], Contents],
    storage: Storage,
) -> tuple[Stored, Contents]:
    """Rows that come in arrays `[M, ...]`, from their copy on the disk, which is made if it is not there.

    Args:
      what: As for `decoded_copy`.
      name: Likewise.
      num_bytes: Likewise.
      rows: Function to the rows.
      contents: Function to what else is known of them, called after the last row.
      storage: Where copies lie.

    Raises:
      DataError: From `rows`, or if the disk has no room.
    """

    def write(folder: Path) -> Contents:
        writer: RowFileWriter | None = None
        for some in rows():
            writer = writer or RowFileWriter(folder / IMAGES, some.shape[1:], some.dtype)
            writer.add(some)
        assert writer is not None  # there is a row
        writer.close()
        return contents()

    images, known = decoded_copy(what, name, num_bytes, write, storage)
    return Stored([images]), known


def description(source: Source, reading: ReadingOptions, files: str, part: str = "") -> dict[str, str]:
    """All that decides upon the images of a source, however its path is spelled."""
    is_path = source.kind != "tfds"
    return {
        "kind": source.kind,
        "source": os.path.realpath(os.path.expanduser(source.argument)) if is_path else source.argument,
        "part": part,
        "operations": _text(reading.operations),
        "at decoding": _text(reading.at_decoding),
        "skip unreadable": str(reading.skip_unreadable),
        "files": files,
    }


def applied(
    operations: Sequence[Operation], images: Array, name: str, means: Sequence[Any], storage: Storage
) -> Array:
    """What `apply_all` makes of images; where it would take too much memory, in chunks, in a copy.

    Args:
      operations: From left to right.
      images: uint8 `[N, H, W, C]`.
      name: The set, for messages.
      means: Of each `@contrast` among the operations.
      storage: From which size on it is a copy, and where.

    Raises:
      DataError: As `apply_all`, or if the disk has no room.
    """
    if not operations:
        return images
    size = len(images) * apply_all(operations, images[:1], name, means).size
    if not isinstance(images, Stored) and size <= storage.memory_limit:
        return apply_all(operations, images, name, means)
    digest = hashlib.sha256(str(list(images.shape)).encode())
    for chunk in chunks(images):
        digest.update(np.ascontiguousarray(chunk).data)
    what = {"kind": "derived", "source": name, "of": digest.hexdigest(), "operations": _text(operations)}
    what["means"] = str([list(map(float, each)) for each in means])

    def rows() -> Iterator[np.ndarray]:
        at_once = max(1, CHUNK_BYTES * math.prod(images.shape) // size)  # neither these nor what is made
        for chunk in chunks(images, min(CHUNK_BYTES, at_once)):
            yield apply_all(operations, chunk, name, means)

    return rows_copy(what, name, size, rows, Contents, storage)[0]


def _text(operations: Sequence[Operation]) -> str:
    return "".join(f"@{operation.text}" for operation in operations)
