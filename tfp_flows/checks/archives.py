"""NumPy archives (.npz) that somebody else may have made: what an array takes is known before it is read.

An archive is a zip file of .npy files. Those that NumPy writes are stored or deflated, and not encrypted;
others are refused. Nothing is ever unpickled.
"""

import contextlib
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np

from tfp_flows.checks import files, sizes
from tfp_flows.checks.errors import UserError

_MAGIC = b"\x93NUMPY"
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_CHUNK = 2**20
_ENCRYPTED = 0x1  # of a member's flags
# What reading damaged numbers raises, and what damaged headers besides.
_OF_NUMBERS = (OSError, EOFError, zipfile.BadZipFile, zlib.error)
_OF_HEADERS = (
    tokenize.TokenError,
    *(ValueError, TypeError, KeyError, IndexError, SyntaxError, RuntimeError, MemoryError),
    *(NotImplementedError, OverflowError, *_OF_NUMBERS),
)


class Header(NamedTuple):
    """What stands before the numbers of an array.

    Attributes:
      shape: Of the array, as it is said: a size may be negative, and the numbers may not be there.
      fortran_order: Whether its first axis varies fastest.
      dtype: Of its elements, never of Python objects.
      start: Byte of the member at which the numbers begin.
    """

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    start: int

    @property
    def num_bytes(self) -> int:
        """Of all numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


class Archive:
    """The arrays of an open archive by name; each is read when it is asked for.

    Attributes:
      files: The names of the arrays.
    """

    def __init__(self, zipped: zipfile.ZipFile) -> None:
        """Takes the open zip file; `opened` makes one."""
        self._zipped = zipped
        names = [name for name in zipped.namelist() if name.endswith(".npy")]
        self.files = list(dict.fromkeys(name.removesuffix(".npy") for name in names))

    def header(self, name: str) -> Header:
        """The header of an array.

        Raises:
          UserError: If there is no such array, or it cannot be read.
        """
        with self.member(name) as (_, header):
            return header

    def checksum(self, name: str) -> int:
        """The CRC-32 that the archive has of an array's file."""
        return self._zipped.getinfo(f"{name}.npy").CRC

    @contextlib.contextmanager
    def member(self, name: str) -> Iterator[tuple[IO[bytes], Header]]:
        """(file of an array, its header); the file stands at the first number.

        Raises:
          UserError: If there is no such array, or it cannot be read.
        """
        with _in_words(f"{name}.npy", _OF_HEADERS):
            info = self._zipped.getinfo(f"{name}.npy")
            if info.flag_bits & _ENCRYPTED:
                raise UserError(f"{name}.npy is encrypted")
            if info.compress_type not in _COMPRESSIONS:
                raise UserError(f"{name}.npy is compressed in a way that np.savez_compressed does not use")
            file = self._zipped.open(info)
        with file:
            with _in_words(f"{name}.npy", _OF_HEADERS):
                header = _header(file, name)
            with _in_words(f"{name}.npy", _OF_NUMBERS):
                yield file, header

    def __getitem__(self, name: str) -> np.ndarray:
        """The array, in C order.

        Raises:
          UserError: If there is no such array, it cannot be read, or does not fit into memory.
        """
        with self.member(name) as (file, header):
            if any(size < 0 for size in header.shape):
                raise UserError(f"{name}.npy has the shape {list(header.shape)}")
            size = self._zipped.getinfo(f"{name}.npy").file_size
            if header.start + header.num_bytes > size:
                raise UserError(f"{name}.npy ends before its array {list(header.shape)}")
            sizes.check_held(header.num_bytes * (2 if header.fortran_order else 1), f"{name}.npy")
            numbers: np.ndarray = np.empty(header.num_bytes, np.uint8)
            if _fill(numbers.data, file) < header.num_bytes:
                raise UserError(f"{name}.npy ends before its array {list(header.shape)}")
        flat = numbers.view(header.dtype)
        if not header.fortran_order:
            return flat.reshape(header.shape)
        return np.ascontiguousarray(flat.reshape(header.shape, order="F"))


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[Archive]:
    """An archive to read from.

    Args:
      path: Of the file.

    Raises:
      FileNotFoundError: If there is no such file.
      UserError: If it is no archive, or cannot be read.
    """
    with _in_words("it", _OF_HEADERS):
        files.check_regular(path)
        if not zipfile.is_zipfile(path):
            with open(path, "rb") as file:
                single = file.read(len(_MAGIC)) == _MAGIC
            if single:
                raise UserError("a single array: write an archive with np.savez")
            raise UserError("it is no NumPy archive; write one with np.savez")
        zipped = zipfile.ZipFile(os.fspath(path))
    with zipped:
        yield Archive(zipped)


def read_all(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """All arrays of an archive.

    Raises:
      UserError: If one cannot be read.
    """
    with opened(path) as archive:
        sizes.check_held(sum(archive.header(name).num_bytes for name in archive.files), "it")
        return {name: archive[name] for name in archive.files}


def _header(file: IO[bytes], name: str) -> Header:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    elif version in ((2, 0), (3, 0)):  # 3.0 differs in the names of fields alone
        shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise UserError(f"{name}.npy has format {version[0]}.{version[1]}, this version reads 1.0 to 3.0")
    if dtype.hasobject:
        raise UserError(f"Object arrays cannot be loaded: {name}.npy holds some, and nothing is unpickled")
    if dtype.subdtype or not dtype.itemsize:
        raise UserError(f"{name}.npy holds {dtype}")
    return Header(tuple(map(int, shape)), fortran_order, dtype, file.tell())


def _fill(view: memoryview, file: IO[bytes]) -> int:
    """Reads as many bytes as there are, at most the view's; returns how many."""
    done = 0
    while done < len(view):
        content = file.read(min(len(view) - done, _CHUNK))
        if not content:
            break
        view[done : done + len(content)] = content
        done += len(content)
    return done


@contextlib.contextmanager
def _in_words(what: str, causes: tuple[type[Exception], ...]) -> Iterator[None]:
    """Has a `UserError` say what cannot be read."""
    try:
        yield
    except (UserError, FileNotFoundError):
        raise
    except causes as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"{what} cannot be read: {reason}") from error
