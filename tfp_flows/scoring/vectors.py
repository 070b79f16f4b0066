"""Scores of the rows of a table, by an export of vectors."""

import csv
import io
import os
import pathlib
import zipfile
import zlib

import numpy as np

from tfp_flows import runs, serving
from tfp_flows.checks import archives
from tfp_flows.detectors import calibration
from tfp_flows.scoring.table import ScoringError, verdicts

AT_ONCE = 4096  # rows
UNREADABLE = (OSError, EOFError, ValueError, csv.Error, zipfile.BadZipFile, zlib.error)


def score_table(
    folder: str | os.PathLike,
    table: str,
    out: str | os.PathLike,
    alpha: float = 0.05,
    allow_unattainable: bool = False,
    trust: bool = False,
) -> int:
    """Writes a CSV with a line for each row: row, log_prob, and with a detector score, p_value, verdict.

    Args:
      folder: Of the export, as `serving.export_vectors` wrote it.
      table: .csv with or without a header, .npy `[N, D]`, or .npz with one such array. By a header columns
        are found by the export's names, and others left alone.
      out: .csv to write.
      alpha: p-value up to which a row is called out.
      allow_unattainable: Whether to score where no p-value can be so small.
      trust: As for `serving.ExportedVectors`.

    Returns:
      How many rows were scored.

    Raises:
      ScoringError: If the table cannot be read or is no such table, or `out` is no .csv.
      ExportedModelError: If the folder holds no export of vectors.
      DetectorError: If no p-value can be as small as `alpha`.
    """
    if os.path.realpath(out) == os.path.realpath(table):
        raise ScoringError(f"`out`: {os.fspath(out)} is the table that is scored; name another file.")
    if pathlib.Path(out).suffix != ".csv":
        raise ScoringError(f"`out`: scores of vectors are written as .csv, got {os.fspath(out)}.")
    exported = serving.ExportedVectors(folder, trust)
    if exported.num_calibration is not None and not allow_unattainable:
        calibration.need_level(alpha, exported.num_calibration)
    rows = read_rows(table, exported.size, exported.columns)
    parts = [exported(rows[start : start + AT_ONCE]) for start in range(0, len(rows), AT_ONCE)]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    names = [name for name in ("log_prob", "score", "p_value") if name in found]
    called = {"verdict": verdicts(found["p_value"], alpha)} if "p_value" in found else {}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *names, *called])
    for i in range(len(rows)):
        writer.writerow([i, *(f"{found[name][i]!s}" for name in names), *(c[i] for c in called.values())])
    runs.write_atomically(pathlib.Path(out), text.getvalue())
    return len(rows)


def read_rows(table: str, size: int, columns: list[str]) -> np.ndarray:
    """The rows of a table as finite numbers `[N, size]`, N > 0; arguments as of `score_table`."""
    try:
        array = _read(table, columns)
    except ScoringError:
        raise
    except UNREADABLE as error:
        raise ScoringError(f"`images`: {table} cannot be read: {error}.") from error
    if array.dtype.kind not in "iuf" or array.ndim != 2 or array.shape[1] != size or not len(array):
        raise ScoringError(
            f"`images`: {table} must hold rows of {size} numbers, got {array.dtype} {list(array.shape)}."
        )
    wrong = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(wrong):
        raise ScoringError(
            f"`images`: {table}: row {wrong[0]} holds what is no finite number ({len(wrong)} such rows)."
        )
    return array


def _read(table: str, columns: list[str]) -> np.ndarray:
    suffix = pathlib.Path(table).suffix
    if suffix == ".npy":
        return np.array(np.lib.format.open_memmap(table, mode="r"))  # of which the file holds each byte
    if suffix == ".npz":
        with archives.opened(table) as arrays:
            if len(arrays.files) != 1:
                raise ScoringError(f"`images`: {table} must hold one array, got {', '.join(arrays.files)}.")
            return arrays[arrays.files[0]]
    if suffix != ".csv":
        raise ScoringError(f"`images`: a table of vectors is a .csv, .npy or .npz, got {table}.")
    with open(table, newline="", encoding="utf-8-sig") as file:
        return _numbers(table, [line for line in csv.reader(file) if line], columns)


def _numbers(table: str, lines: list[list[str]], columns: list[str]) -> np.ndarray:
    """The numbers of a CSV, `[N, ...]`."""
    header = lines[0] if lines and not any(map(_is_number, lines[0])) else None
    chosen = range(len(lines[0])) if lines else range(0)
    if header is not None:
        lines = lines[1:]
        missing = [name for name in columns if name not in header]
        if missing:
            raise ScoringError(f"`images`: {table} has no column {', '.join(missing)}.")
        if columns:
            chosen = [header.index(name) for name in columns]  # type: ignore[assignment]
    found = np.empty([len(lines), len(chosen)])
    for i, line in enumerate(lines):
        try:
            found[i] = [float(line[place]) for place in chosen]
        except (ValueError, IndexError) as error:
            raise ScoringError(
                f"`images`: {table}: row {i} must hold {len(chosen)} numbers, got {','.join(line)!r}."
            ) from error
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
