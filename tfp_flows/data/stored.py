"""Arrays that are larger than memory: their rows lie in files, and are read when they are asked for."""

import math
import mmap
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfp_flows.checks import sizes
from tfp_flows.data.errors import DataError
from tfp_flows.data.row_file import RowFile

CHUNK_BYTES = 2**23  # of an array that is gone through, at once


class Stored:
    """Some rows of files, in an order of their own, as if they were an array `[N, ...]`; read-only.

    `stored[3]`, `stored[10:20]`, `stored[indices]` and `stored[mask]` read those rows, and give arrays. A
    view (`select`) costs 8 bytes a row: all splits of a set are views of one file. `np.asarray(stored)`
    reads it whole, if it fits into memory.

    Attributes:
      shape: `(N, ...)`.
      dtype: Of the elements.
    """

    def __init__(self, pieces: Sequence[RowFile | np.ndarray], rows: np.ndarray | None = None):
        """Takes the files whose rows follow one another.

        Args:
          pieces: Files, and arrays in memory among them, whose rows are alike in shape and dtype.
          rows: int64 `[N]`, indices of the rows that this is, in its order; None for all.

        Raises:
          DataError: If rows of two pieces differ.
        """
        first = pieces[0]
        for other in pieces[1:]:
            if (other.shape[1:], other.dtype) != (first.shape[1:], first.dtype):
                raise DataError(
                    f"arrays of {other.dtype} {list(other.shape[1:])} cannot follow those of {first.dtype} "
                    f"{list(first.shape[1:])}"
                )
        self.pieces = tuple(pieces)
        self.rows = rows
        self._ends = np.cumsum([len(piece) for piece in pieces])
        self.shape = (int(self._ends[-1]) if rows is None else len(rows), *first.shape[1:])
        self.dtype = first.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that it would take in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        """N."""
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """Reads rows; what follows in a tuple is taken of each of them, as from an array.

        Raises:
          DataError: If they cannot be read.
        """
        if isinstance(key, tuple):
            if not key or key[0] is Ellipsis or key[0] is None:
                return np.asarray(self)[key]
            if isinstance(key[0], int | np.integer):
                return self[key[0]][key[1:]]
            return self[key[0]][(slice(None), *key[1:])]
        if isinstance(key, int | np.integer):
            return self._read(np.array([range(len(self))[operator.index(key)]]))[0]
        return self._read(self._positions(key))

    def __iter__(self) -> Iterator[np.ndarray]:
        """The rows, one after the other."""
        for chunk in chunks(self):
            yield from chunk

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """All of it in memory."""
        sizes.check_held(self.nbytes, f"an array {list(self.shape)}", DataError)
        return self[:].astype(dtype or self.dtype, copy=False)

    def select(self, key: slice | Sequence[int] | np.ndarray) -> "Stored":
        """A view of some rows, or of all in another order: a slice, indices, or a mask. Nothing is read."""
        return Stored(self.pieces, self._rows_at(self._positions(key)))

    def _positions(self, key: slice | Sequence[int] | np.ndarray) -> np.ndarray:
        """Indices of 0..N-1."""
        if isinstance(key, slice):
            return np.arange(*key.indices(len(self)))
        array = np.asarray(key)
        if array.dtype == np.bool_:
            if array.shape != (len(self),):
                raise IndexError(f"a mask must be [{len(self)}], got {list(array.shape)}")
            return np.flatnonzero(array)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise IndexError(f"rows are chosen by a slice or integers [M], got {array.dtype} {array.shape}")
        array = array.astype(np.int64)
        array = np.where(array < 0, array + len(self), array)
        if array.size and not (0 <= array.min() and array.max() < len(self)):
            raise IndexError(f"there are {len(self)} rows, asked for {array.min()}..{array.max()}")
        return array

    def _rows_at(self, positions: np.ndarray) -> np.ndarray:
        return positions if self.rows is None else self.rows[positions]

    def _read(self, positions: np.ndarray) -> np.ndarray:
        rows = self._rows_at(positions)
        if len(self.pieces) == 1:
            return self.pieces[0][rows]
        found: np.ndarray = np.empty((len(rows), *self.shape[1:]), self.dtype)
        owners = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(owners).tolist():
            mine, piece = owners == number, self.pieces[number]
            found[mine] = piece[rows[mine] - (int(self._ends[number]) - len(piece))]
        return found


Array = np.ndarray | Stored


def as_array(values: Any) -> Array:
    """`values` as an array, but what is `Stored` as it is."""
    return values if isinstance(values, Stored) else np.asarray(values)


def is_on_disk(array: Array) -> bool:
    """Whether rows are read from a disk when they are asked for: of `Stored`, and of a mapped file."""
    if isinstance(array, Stored):
        return True
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return isinstance(base, mmap.mmap)


def view(array: Array, key: slice | np.ndarray) -> Array:
    """Some rows; of what is `Stored` without reading them."""
    return array.select(key) if isinstance(array, Stored) else array[key]


def chunks(array: Array, at_once: int = CHUNK_BYTES) -> Iterator[np.ndarray]:
    """All rows in order, in arrays of about `at_once` bytes or of one row."""
    step = max(1, at_once // max(1, math.prod(array.shape[1:]) * array.dtype.itemsize))
    return (array[start : start + step] for start in range(0, len(array), step))


def concatenated(arrays: Sequence[Array]) -> Array:
    """Arrays of one shape of rows, one after the other; in memory where they all are.

    Raises:
      DataError: If rows of two differ, and one is `Stored`.
    """
    if len(arrays) == 1:
        return arrays[0]
    if not any(isinstance(array, Stored) for array in arrays):
        return np.concatenate(arrays)
    stored = [array if isinstance(array, Stored) else Stored([array]) for array in arrays]
    pieces = [piece for array in stored for piece in array.pieces]
    rows, before = [], 0
    for array in stored:
        rows.append(before + array._rows_at(np.arange(len(array))))
        before += sum(len(piece) for piece in array.pieces)
    return Stored(pieces, np.concatenate(rows))
