"""The arrays of an `.npz` archive, an image at a time: `np.load` would hold a whole one in memory."""

import contextlib
import math
import os
from collections.abc import Iterator

import numpy as np

from tfp_flows.checks import archives, sizes
from tfp_flows.checks.errors import UserError
from tfp_flows.data.errors import DataError
from tfp_flows.data.files import check_regular
from tfp_flows.data.npz import IMAGE_KEYS

ARRAYS = tuple(name for part in ("images", "test", "train", "validation") for name in IMAGE_KEYS[part])


class Unreadable(Exception):
    """An image cannot be had, nor can any behind it in the same array; the message is the reason alone."""


class ArchiveRows:
    """The arrays of images of an archive that is open.

    Attributes:
      shapes: Dict from each array's name to its shape (N, H, W, C).
      checksums: Dict from each array's name to the CRC-32 that the archive has of it.
    """

    def __init__(self, archive: archives.Archive) -> None:
        """Reads the headers, all of them, so that nothing is scored of an archive that is wrong."""
        self._archive = archive
        found = [name for name in ARRAYS if name in archive.files]
        if not found:
            raise DataError(f"holds none of the arrays {', '.join(ARRAYS)}")
        self.shapes = {name: self._shape(name) for name in found}
        self.checksums = {name: archive.checksum(name) for name in found}

    def fault(self, name: str) -> str:
        """What is wrong with an array as a whole, or ""."""
        shape = self.shapes[name]
        if min(shape) < 1:
            return f"the array's shape is {list(shape)}: there is no image in it"
        try:
            sizes.check_image_size(shape[1:], f"the array's shape is {list(shape)}")
        except UserError as error:
            return str(error)
        return ""

    def rows(self, name: str, start: int, stop: int) -> Iterator[np.ndarray]:
        """The images from `start` to before `stop`, uint8 [H, W, C].

        Raises:
          Unreadable: At the first image that cannot be had.
        """
        shape = self.shapes[name][1:]
        size = math.prod(shape)
        try:
            with self._archive.member(name) as (member, header):
                beginning = header.start + start * size
                if member.seek(beginning) < beginning:  # whoever reads what is before says that it ends
                    return
                for _ in range(start, stop):
                    row = member.read(size)
                    if len(row) < size:
                        raise Unreadable("the archive ends before it")
                    yield np.frombuffer(row, np.uint8).reshape(shape)
        except (UserError, OSError) as error:
            raise Unreadable(f"the archive is damaged from here on: {error}") from error

    def _shape(self, name: str) -> tuple[int, ...]:
        header = self._archive.header(name)
        shape = header.shape
        if header.dtype != np.uint8 or len(shape) not in (3, 4):
            raise DataError(
                f"'{name}' must be uint8 [N, H, W, C] or [N, H, W], got {header.dtype} {list(shape)}"
            )
        if header.fortran_order:
            raise DataError(f"'{name}' is in Fortran's order: write np.ascontiguousarray of it")
        return (*shape, 1) if len(shape) == 3 else shape


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
            found = ArchiveRows(stack.enter_context(archives.opened(file)))
        except DataError as error:
            raise DataError(f"npz:{path}: {error}") from error
        except (UserError, OSError) as error:
            raise DataError(f"npz:{path}: cannot be read: {error}") from error
        yield found
