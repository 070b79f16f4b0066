"""Rows of tables that `tfp_flows.score` wrote: .csv, .csv.gz, .parquet, or CSV on standard input."""

import collections
import contextlib
import csv
import functools
import glob
import gzip
import io
import itertools
import math
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, NamedTuple

from tfp_flows.checks import extras, files
from tfp_flows.checks.errors import UserError
from tfp_flows.monitoring.errors import MonitoringError

STANDARD_INPUT = "-"
POLL = 1.0  # seconds between looks at tables that are followed
KNOWN_BYTES = 4096  # of a followed table, by which one that was written anew is told
ERRORS = ["key", "error"]  # the columns of a table of errors
GROUPS = ["group", "images"]  # the first columns of a table of groups
NO_UTF8 = "backslashreplace"  # a byte that is none is written as keys have it: \xHH
CALIBRATE = (
    "calibrate a detector (python -m tfp_flows.detect), give it to --detector of tfp_flows.export or "
    "tfp_flows.score, and score again"
)


class Row(NamedTuple):
    """What is taken of a row.

    Attributes:
      key: Of the image, as it stands in the table.
      p_value: In (0, 1].
      score: Or None.
      time: Text of the column of times; "" where there is none.
    """

    key: str
    p_value: float
    score: float | None
    time: str


class Faults:
    """What could not be used, counted by the reason, each with an example."""

    def __init__(self) -> None:
        """None yet."""
        self.counts: collections.Counter[str] = collections.Counter()
        self.examples: dict[str, str] = {}

    def note(self, reason: str, example: str, count: int = 1) -> None:
        """Counts something."""
        self.counts[reason] += count
        self.examples.setdefault(reason, example)

    def lines(self) -> list[str]:
        """A line for each reason."""
        found = self.counts.items()
        return [
            f"{count:,} left out: {reason} (the first: {self.examples[reason]})" for reason, count in found
        ]


class Tables:
    """Tables, read in the order of their names; or followed while they grow."""

    def __init__(self, names: Sequence[str], time_column: str | None, faults: Faults) -> None:
        """Reads nothing yet.

        Args:
          names: Paths, globs, or "-" for standard input.
          time_column: Name of the column of times, or None.
          faults: Where unusable rows are counted.
        """
        self._names = names
        self._time_column = time_column
        self._faults = faults

    def rows(self, most: int | None = None) -> Iterator[list[Row]]:
        """The rows of all tables, in pieces of at most `most`, or as one.

        Raises:
          MonitoringError: If there is no such table, or it has no p-values.
          OSError: If one cannot be read.
        """
        found = itertools.chain.from_iterable(map(self._of_table, self.paths()))
        while piece := list(itertools.islice(found, most)):
            yield piece

    def follow(self, poll: float = POLL) -> Iterator[list[Row]]:
        """The rows that are there, and then those that come, for ever; for standard input, until it ends.

        Raises:
          MonitoringError: As `rows`; and for tables that do not grow, .parquet and .gz.
        """
        paths = self.paths()
        if paths == [STANDARD_INPUT]:
            parsed = _Csv("standard input", self._time_column, self._faults)
            for line in iter(_standard_input().readline, ""):
                yield list(parsed.rows([line]))
            return
        followed: dict[str, _Growing] = {}
        while True:
            for path in self.paths():
                if path == STANDARD_INPUT or path.endswith((".parquet", ".gz")):
                    raise MonitoringError(f"`follow`: {path} cannot be followed: only CSV files can.")
                if path not in followed:
                    anew = functools.partial(_Csv, path, self._time_column, self._faults)
                    followed[path] = _Growing(path, anew)
                if found := list(followed[path].rows()):
                    yield found
            time.sleep(poll)

    def paths(self) -> list[str]:
        """The tables that the names stand for now.

        Raises:
          MonitoringError: If a name stands for none.
        """
        found: list[str] = []
        for name in self._names:
            if name == STANDARD_INPUT or os.path.exists(name):
                found.append(name)
            elif matches := sorted(glob.glob(name)):
                found += matches
            else:
                raise MonitoringError(f"`scores`: there is no table {name}{_near(name)}.")
        return list(dict.fromkeys(found))

    def _of_table(self, path: str) -> Iterator[Row]:
        if path == STANDARD_INPUT:
            yield from _Csv("standard input", self._time_column, self._faults).rows(_standard_input())
            return
        with _naming(path):
            files.check_regular(path)
            if os.path.isdir(path):
                raise MonitoringError(f"`scores`: {path} is a folder: name a table, or a glob of some.")
            if path.endswith(".parquet"):
                yield from _of_parquet(path, self._time_column, self._faults)
                return
            opened: IO[str] = (gzip.open if path.endswith(".gz") else open)(
                path, "rt", encoding="utf-8-sig", errors=NO_UTF8, newline=""
            )
            with opened as file:
                yield from _Csv(path, self._time_column, self._faults).rows(file)


def _standard_input() -> IO[str]:
    """CSV on standard input is read as that of files."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors=NO_UTF8)
    return sys.stdin


class _Csv:
    """The lines of one table, parsed as they come; a row is one line, as keys are escaped."""

    def __init__(self, name: str, time_column: str | None, faults: Faults) -> None:
        self._name = name
        self._time_column = time_column
        self._faults = faults
        self._header: list[str] | None = None
        self._line = 0

    def rows(self, lines: Iterable[str]) -> Iterator[Row]:
        for line in lines:
            self._line += 1
            fields = self._fields(line)
            if self._header is None:
                self._header = [field.strip() for field in fields]
                if self._header != ERRORS and self._header[:2] != GROUPS:
                    _check_columns(self._header, self._name, self._time_column)
            elif self._header == ERRORS:
                self._note("rows of tables of errors")
            elif self._header[:2] == GROUPS:
                self._note("rows of tables of groups")
            elif fields and len(fields) != len(self._header):
                self._note("lines that are no rows")
            elif fields:
                yield from self._row(dict(zip(self._header, fields, strict=True)))

    def _fields(self, line: str) -> list[str]:
        try:
            return next(csv.reader([line]), [])
        except csv.Error:
            return [line]

    def _row(self, values: dict[str, str]) -> Iterator[Row]:
        try:
            p_value = float(values["p_value"] or "nan")
            score = float(values.get("score") or "nan")
        except ValueError:
            self._note("lines that are no rows")
            return
        when = values[self._time_column] if self._time_column else ""
        yield from _checked(
            values["key"], p_value, score, when, self._faults, f"{self._name}, line {self._line}"
        )

    def _note(self, reason: str) -> None:
        self._faults.note(reason, f"{self._name}, line {self._line}")


class _Growing:
    """A table that somebody writes, by its whole lines; one written anew is read from its header on."""

    def __init__(self, path: str, anew: Callable[[], _Csv]) -> None:
        self._path = path
        self._anew = anew
        self._parsed = anew()
        self._place = 0
        self._last = b""  # what is before that place

    def rows(self) -> Iterator[Row]:
        """Those that have come since."""
        with _naming(self._path), open(self._path, "rb") as file:
            file.seek(self._place - len(self._last))
            if file.read(len(self._last)) != self._last:  # these are other lines
                self._parsed, self._place = self._anew(), 0
                file.seek(0)
            whole, _, _ = file.read().rpartition(b"\n")
        if whole:
            self._place += len(whole) + 1
            self._last = whole[-KNOWN_BYTES:] + b"\n"
        lines = whole.decode("utf-8-sig", NO_UTF8).split("\n") if whole else []
        return self._parsed.rows(lines)


def _of_parquet(path: str, time_column: str | None, faults: Faults) -> Iterator[Row]:
    with extras.needed("parquet", "a .parquet table"):
        import pyarrow
        from pyarrow import parquet
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_columns(names, path, time_column)
            wanted = [name for name in ("key", "p_value", "score", time_column) if name in names]
            row = 0
            for batch in file.iter_batches(columns=wanted):
                for values in batch.to_pylist():
                    row += 1
                    p_value, score = (_number(values.get(name)) for name in ("p_value", "score"))
                    when = str(values[time_column]) if time_column else ""
                    yield from _checked(
                        str(values["key"]), p_value, score, when, faults, f"{path}, row {row}"
                    )
    except pyarrow.ArrowException as error:
        raise MonitoringError(
            f"`scores`: {path} is no Parquet table: {str(error).splitlines()[0]}."
        ) from error


def _checked(key: str, p_value: float, score: float, when: str, faults: Faults, where: str) -> Iterator[Row]:
    if math.isnan(p_value):
        faults.note("rows without a p-value", where)
    elif not 0 < p_value <= 1:
        faults.note("rows whose p-value is not in (0, 1]", where)
    else:
        yield Row(key, p_value, None if math.isnan(score) else score, when)


def _check_columns(names: Sequence[str], table: str, time_column: str | None) -> None:
    if "key" not in names and "row" in names and "p_value" in names:
        raise MonitoringError(
            f"`scores`: {table} has the scores of a table's rows, which are not watched by this "
            f"command; in Python `monitoring.Monitor` takes them."
        )
    if "key" not in names:
        shown = ", ".join(names)[:80]
        raise MonitoringError(f"`scores`: {table} is no table of tfp_flows.score; its columns are: {shown}.")
    if "p_value" not in names:
        raise MonitoringError(f"`scores`: {table} has no p-values: {CALIBRATE}.")
    if time_column and time_column not in names:
        raise MonitoringError(f"`time_column`: {table} has {', '.join(names)}, but no {time_column}.")


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _near(name: str) -> str:
    """What else may be meant: a job's part, or its shards."""
    stem, ending = os.path.splitext(name)
    shards = f"{glob.escape(stem)}-*-of-*{ending}"
    if os.path.exists(f"{name}.part"):
        return f"; {name}.part is that of a job that is not done"
    return f"; there is --scores='{stem}-*-of-*{ending}'" if glob.glob(shards) else ""


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """What reading raises, in one line that names the table."""
    try:
        yield
    except MonitoringError:
        raise
    except (OSError, EOFError, zlib.error, UserError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise MonitoringError(f"`scores`: {path} cannot be read: {reason}.") from error
