"""The files of tables: what a .csv, .npy or .npz holds, with what its columns are called."""

import csv
import os
import zipfile
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfp_flows.checks import archives, files, sizes
from tfp_flows.checks.errors import UserError
from tfp_flows.data.errors import DataError

SUFFIXES = (".csv", ".npy", ".npz")
MOST_NAMED = 5
FEWER = "give fewer rows"
_UNREADABLE = (OSError, EOFError, ValueError, csv.Error, zipfile.BadZipFile, zlib.error)
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}


class Contents(NamedTuple):
    """Some columns of a file.

    Attributes:
      rows: float64 `[N, K]`; NaN where a cell is no number.
      columns: What the K columns are called, by the header; those of a file without one are called by
        their numbers, "0", "1", ...
      header: Whether the file has one.
      whole: Whether these are all of its columns.
      lines: Of a .csv, the text of the rows; None of arrays.
      words: Of a .csv, for each column the first cell that is no number, or "".
      unnamed: Whether a first column without a name was left out, as pandas writes its index.
    """

    rows: np.ndarray
    columns: tuple[str, ...]
    header: bool
    whole: bool
    lines: list[list[str]] | None = None
    words: tuple[str, ...] = ()
    unnamed: bool = False


def read(path: str, columns: Sequence[str] = (), ignore: Sequence[str] = ()) -> Contents:
    """The columns of a file.

    Args:
      path: .csv, with a header or without; .npy `[N, D]`; or .npz with one such array.
      columns: Which are taken, in this order: names of a header, numbers from 0 where there is none. A file
        without a header that has just as many columns is taken as it is. none for all.
      ignore: Which are left out, where all are taken.

    Raises:
      DataError: If it cannot be read, is no such table, or has no such column; the message does not name it.
    """
    place = os.path.expanduser(path)
    try:
        files.check_regular(place)
        if path.lower().endswith(".csv"):
            return _of_csv(place, columns, ignore)
        return _of_array(_array(place), columns, ignore)
    except DataError:
        raise
    except _UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"cannot be read: {reason.removesuffix('.')}") from error


def holds_vectors(path: str) -> bool:
    """Whether an archive is a table: it holds one array, and that is no array of images.

    False where it cannot be read.
    """
    try:
        with archives.opened(os.path.expanduser(path)) as archive:
            return len(archive.files) == 1 and len(archive.header(archive.files[0]).shape) < 3
    except (OSError, UserError):
        return False


def _array(path: str) -> np.ndarray:
    if path.lower().endswith(".npy"):
        return np.lib.format.open_memmap(path, mode="r")  # of which the file holds each byte
    with archives.opened(path) as arrays:
        if len(arrays.files) != 1:
            raise DataError(f"must hold one array, got {', '.join(arrays.files) or 'none'}")
        return arrays[arrays.files[0]]


def _of_array(array: np.ndarray, columns: Sequence[str], ignore: Sequence[str]) -> Contents:
    if array.dtype.kind not in "iuf" or array.ndim != 2 or 0 in array.shape:
        raise DataError(f"must be numbers [N, D], N and D positive, got {array.dtype} {list(array.shape)}")
    places, names = _chosen(None, array.shape[1], columns, ignore)
    sizes.check_held(8 * len(array) * len(places), "its cells", DataError, FEWER)
    rows = np.asarray(array[:, places], np.float64)
    return Contents(rows, names, False, places == list(range(array.shape[1])))


def _of_csv(path: str, columns: Sequence[str], ignore: Sequence[str]) -> Contents:
    sizes.check_held(os.path.getsize(path), "its cells", DataError, FEWER)  # as text, at the very least
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = [line for line in csv.reader(file) if line]
    if lines and all(len(line) > 1 and not line[-1].strip() for line in lines):
        lines = [line[:-1] for line in lines]  # each ends with a comma
    header = [name.strip() for name in lines[0]] if lines and _is_header(lines) else None
    lines = lines[1:] if header is not None else lines
    if not lines:
        raise DataError("holds no rows")
    unnamed = header is not None and header[0] == "" and not columns
    width = len(header if header is not None else lines[0])
    if width == 1:
        text = (header or lines[0])[0]
        found = next((word for mark, word in _OTHER_SEPARATORS.items() if mark in text), "")
        raise DataError(
            f"has one column{f', whose cells hold {found}: separate columns by commas' if found else ''}"
        )
    places, names = _chosen(header, width, columns, ignore)
    rows, words = np.full([len(lines), len(places)], np.nan), [""] * len(places)
    for i, line in enumerate(lines):
        for j, place in enumerate(places):
            cell = line[place] if place < len(line) else ""
            if is_number(cell):
                rows[i, j] = float(cell)
            else:
                words[j] = words[j] or cell.strip()
        if len(line) != width:  # nobody knows which cell belongs to which column
            rows[i] = np.nan
    whole = len(places) == width
    return Contents(rows, names, header is not None, whole, lines, tuple(words), unnamed)


def _is_header(lines: list[list[str]]) -> bool:
    """Whether the first line names the columns: none of its cells is a number, or it is one of pandas'.

    That numbers columns that have no names, 0, 1, ...; and leaves the cell above the index empty, which it
    writes in front. Both are told from rows by what is below them.
    """
    first, *others = lines
    if not any(map(is_number, first)):
        return True
    if not others:
        return False
    if not first[0].strip():
        return all(line[0].strip() for line in others)
    counted = [cell.strip() for cell in first] == list(map(str, range(len(first))))
    return counted and not any(all(cell.strip().isdigit() for cell in line) for line in others)


def _chosen(
    header: list[str] | None, width: int, columns: Sequence[str], ignore: Sequence[str]
) -> tuple[list[int], tuple[str, ...]]:
    """(places of the columns that are taken, what they are called)."""
    names = list(map(str, range(width))) if header is None else header
    if header is None and columns and not set(columns) <= set(names) and len(columns) == width:
        return list(range(width)), tuple(columns)  # as they stand, whatever they are called elsewhere
    missing = [name for name in [*columns, *ignore] if name not in names]
    if missing:
        known = ", ".join(names[:MOST_NAMED]) + (", ..." if width > MOST_NAMED else "")
        called = f"there are {known}" if header is not None else f"it has no header, and columns {known}"
        raise DataError(f"has no column {', '.join(missing)}; {called}")
    taken = list(columns) or [name for i, name in enumerate(names) if i or name]
    taken = [name for name in taken if name not in ignore]
    twice = [name for name in dict.fromkeys(taken) if names.count(name) > 1 or taken.count(name) > 1]
    if twice:
        raise DataError(f"has more than one column {', '.join(map(repr, twice))}")
    return [names.index(name) for name in taken], tuple(taken)


def is_number(text: str) -> bool:
    """Whether a cell of a .csv is a number; 2024_01, which Python takes for one, is a name."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
