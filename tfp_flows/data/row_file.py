"""An array in a file, of which rows are read when they are asked for.

The file is what `np.save` writes, so `np.load(path, mmap_mode="r")` maps it. Here nothing is mapped: pages
of a mapped file count as a process's memory until they are given back, and one thread that waits for the
disk holds all others up. Rows are read into place (`preadv`), by as many threads as ask for some.
"""

import math
import os
import threading
from typing import BinaryIO

import numpy as np

from tfp_flows.data.errors import DataError

_AT_ONCE = 2**24  # bytes of one reading


class RowFile:
    """An array `[N, ...]` in a `.npy` file, read-only.

    Attributes:
      path: Of the file.
      shape: Of the array.
      dtype: Of the array.
    """

    def __init__(self, path: str | os.PathLike):
        """Opens it.

        Raises:
          DataError: If it is no such file, or shorter or longer than its header says.
          OSError: If it cannot be opened.
        """
        self.path = os.fspath(path)
        self._file = open(self.path, "rb", buffering=0)  # noqa: SIM115 (it is open as long as this is)
        self._lock = threading.Lock()
        try:
            self.shape, self.dtype = _header(self._file)
        except (ValueError, EOFError) as error:
            raise DataError(f"{self.path}: is no array of rows: {error}") from error
        self._start = self._file.tell()
        self._size = math.prod(self.shape[1:]) * self.dtype.itemsize
        length = os.fstat(self._file.fileno()).st_size
        if length != self._start + self.shape[0] * self._size:
            raise DataError(f"{self.path}: has {length:,} bytes, which is not what its header says")

    def __len__(self) -> int:
        """N."""
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """The rows of these indices, integers of 0..N-1, `[M, ...]`.

        Raises:
          IndexError: If there is no such row.
          DataError: If they cannot be read.
        """
        rows = np.asarray(rows, np.int64)
        if len(rows) and not (0 <= rows.min() and rows.max() < len(self)):
            raise IndexError(f"rows must be 0..{len(self) - 1}, got {rows.min()}..{rows.max()}")
        found: np.ndarray = np.empty((len(rows), *self.shape[1:]), self.dtype)
        target = found.reshape(-1).view(np.uint8).data
        for first, last in _runs(rows):
            place = self._start + int(rows[first]) * self._size
            self._read(target[first * self._size : last * self._size], place)
        return found

    def _read(self, target: memoryview, place: int) -> None:
        done = 0
        try:
            while done < len(target):
                count = self._read_some(target[done : done + _AT_ONCE], place + done)
                if not count:
                    raise DataError(f"{self.path}: was cut short while it was in use")
                done += count
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def _read_some(self, target: memoryview, place: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [target], place)
        with self._lock:  # Windows has one place in a file for all threads
            self._file.seek(place)
            return self._file.readinto(target) or 0


class RowFileWriter:
    """Writes a `RowFile`, row by row; until it is closed, its header says that it has none."""

    def __init__(self, path: str | os.PathLike, row_shape: tuple[int, ...], dtype: np.dtype):
        """Begins the file."""
        self._row_shape, self._dtype, self._count = row_shape, dtype, 0
        self._file = open(path, "wb", buffering=2**20)  # noqa: SIM115
        self._length = self._write_header()

    def add(self, rows: np.ndarray) -> None:
        """Appends rows `[M, ...]`."""
        assert rows.shape[1:] == self._row_shape and rows.dtype == self._dtype
        self._file.write(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
        self._count += len(rows)

    def close(self, whole: bool = True) -> None:
        """Ends the file, once; where it is `whole`, the header says how many rows there are."""
        if self._file.closed:
            return
        with self._file:
            if whole:
                self._file.seek(0)
                assert self._write_header() == self._length  # NumPy leaves room for a longer first axis

    def _write_header(self) -> int:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._count, *self._row_shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("its format is not 1.0")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    if fortran_order or dtype.hasobject or not shape or min(shape) < 0:
        raise ValueError(f"it holds {dtype} {list(shape)}{' in the order of Fortran' * fortran_order}")
    return tuple(shape), dtype


def _runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """(first, last + 1) of each run of indices that follow one another."""
    if not len(rows):
        return []
    starts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(rows)], strict=True))
