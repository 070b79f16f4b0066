"""The arrays of an `.npz` archive, an image at a time: `np.load` would hold a whole one in memory."""

import contextlib
import lzma
import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np

from tfp_flows.data.errors import DataError
from tfp_flows.data.files import check_regular

ARRAYS = ("images", "test", "x_test", "train", "x_train")
LARGEST_IMAGE = 1 << 28  # bytes
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# What zipfile raises for files that are damaged, encrypted or of methods that it does not know.
_DAMAGE = (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


class Unreadable(Exception):
    """An image cannot be had, nor can any behind it in the same array; the message is the reason alone."""


class ArchiveRows:
    """The arrays of images of an archive that is open.

    Attributes:
      shapes: Dict from each array's name to its shape (N, H, W, C).
      checksums: Dict from each array's name to the CRC-32 that the archive has of it.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Reads the headers, all of them, so that nothing is scored of an archive that is wrong."""
        self._archive = archive
        there = set(archive.namelist())
        found = [name for name in ARRAYS if f"{name}.npy" in there]
        if not found:
            raise DataError(f"holds none of the arrays {', '.join(ARRAYS)}")
        self.shapes = {name: self._shape(name) for name in found}
        self.checksums = {name: archive.getinfo(f"{name}.npy").CRC for name in found}

    def fault(self, name: str) -> str:
        """What is wrong with an array as a whole, or ""."""
        shape = self.shapes[name]
        if min(shape) < 1:
            return f"the array's shape is {list(shape)}: there is no image in it"
        if math.prod(shape[1:]) > LARGEST_IMAGE:
            return f"the array's shape is {list(shape)}: images of more than {LARGEST_IMAGE:,} bytes"
        return ""

    def rows(self, name: str, start: int, stop: int) -> Iterator[np.ndarray]:
        """The images from `start` to before `stop`, uint8 [H, W, C].

        Raises:
          Unreadable: At the first image that cannot be had.
        """
        shape = self.shapes[name][1:]
        size = math.prod(shape)
        try:
            with self._archive.open(f"{name}.npy") as member:
                _header(member)
                beginning = member.tell() + start * size
                if member.seek(beginning) < beginning:  # whoever reads what is before says that it ends
                    return
                for _ in range(start, stop):
                    row = member.read(size)
                    if len(row) < size:
                        raise Unreadable("the archive ends before it")
                    yield np.frombuffer(row, np.uint8).reshape(shape)
        except _DAMAGE as error:
            raise Unreadable(f"the archive is damaged from here on: {_reason(error)}") from error

    def _shape(self, name: str) -> tuple[int, int, int, int]:
        with self._archive.open(f"{name}.npy") as member:
            shape, fortran, dtype = _header(member)
        if dtype != np.uint8 or len(shape) not in (3, 4):
            raise DataError(f"'{name}' must be uint8 [N, H, W, C] or [N, H, W], got {dtype} {list(shape)}")
        if fortran:
            raise DataError(f"'{name}' is in Fortran's order: write np.ascontiguousarray of it")
        count, height, width, *channels = shape
        return count, height, width, channels[0] if channels else 1


@contextlib.contextmanager
def open_rows(path: str) -> Iterator[ArchiveRows]:
    """Opens an archive.

    Args:
      path: The file; `~` is expanded.

    Yields:
      `ArchiveRows`.

    Raises:
      DataError: If there is no such archive, or it holds no arrays of images, or another array under one
        of their names.
    """
    file = os.path.expanduser(path)
    if not os.path.lexists(file):
        raise DataError(f"npz:{path}: no such file")
    try:
        check_regular(file)
    except DataError as error:
        raise DataError(f"npz:{path}: {error}") from error
    with contextlib.ExitStack() as stack:
        try:
            found = ArchiveRows(stack.enter_context(zipfile.ZipFile(file)))
        except DataError as error:
            raise DataError(f"npz:{path}: {error}") from error
        except (*_DAMAGE, MemoryError) as error:  # a header of brackets exhausts the parser's memory
            raise DataError(f"npz:{path}: cannot be read: {_reason(error)}") from error
        yield found


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, whether in Fortran's order, dtype) of the array that begins here."""
    version = np.lib.format.read_magic(member)
    if version not in _HEADERS:
        raise ValueError(f"version {version[0]}.{version[1]} of .npy holds no images")
    return _HEADERS[version](member)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
