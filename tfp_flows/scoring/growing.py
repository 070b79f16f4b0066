"""A table that grows, a batch at a time, and of which no whole row is ever lost."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tfp_flows import runs
from tfp_flows.scoring.escaping import unescape
from tfp_flows.scoring.q_values import QValues
from tfp_flows.scoring.table import Q_COLUMNS, csv_text, table_schema

RECORD = "record"  # the last column, which the finished table does not have
_BLOCK = 1 << 20  # bytes of text that become a piece of a Parquet file, at least


class Entry(NamedTuple):
    """A row and where it came from.

    Attributes:
      row: As the finished table has it.
      record: `data.streams.Item.record`.
    """

    row: Sequence[str | float | None]
    record: str


class GrowingTable:
    """A table as text, in a file; its last column is the record that a row's image came in, or nothing.

    A line is whole if it ends as a line does and has no NUL, which a crash may leave in the place of
    what was not yet on the disk, and which no row has.
    """

    def __init__(self, path: pathlib.Path, columns: Sequence[str]) -> None:
        self.path = path
        self._header = csv_text([(*columns, RECORD)]).encode("utf-8")

    def begin(self) -> None:
        """Makes it, without rows."""
        self._write("wb", self._header)

    def append(self, entries: Sequence[Entry]) -> None:
        """Adds rows, and brings them to the disk.

        Raises:
          OSError: If that fails; `filename` says where. Rows may be there in part.
        """
        if entries:
            self._write("ab", csv_text((*entry.row, entry.record) for entry in entries).encode("utf-8"))

    def has_rows(self) -> bool:
        """Whether there is a whole row."""
        return next(self.keys(), None) is not None

    def keys(self) -> Iterator[tuple[str, str]]:
        """(key, escaped; `data.streams.Item.identity`) of each row, up to the first that is not whole."""
        for line, _ in self._lines():
            text = line.decode("utf-8")
            record = text[text.rindex(",") + 1 : -1]
            key = text.partition(",")[0] if text[0] != '"' else _quoted(text)
            yield key, record or unescape(key)

    def cut(self) -> None:
        """Cuts off what is behind the last whole row."""
        end = max((end for _, end in self._lines()), default=len(self._header))
        with runs.naming_file(self.path):
            os.truncate(self.path, end)

    def without_record(self) -> Iterator[bytes]:
        """The header and all lines, without the last column, in which are neither commas nor quotes."""
        with runs.naming_file(self.path), open(self.path, "rb") as source:
            for line in source:
                yield line[: line.rindex(b",")] + b"\n"

    def publish(self, target: pathlib.Path, q_values: QValues | None = None) -> None:
        """Writes the finished table: .parquet as such, else as CSV; it is there as a whole or not at all.

        Args:
          target: Its path.
          q_values: What is added to the rows, or None.

        Raises:
          OSError: If that fails; `filename` says where.
        """
        with whole(target) as temporary:
            if target.suffix == ".parquet":
                self._write_parquet(temporary, q_values)
            else:
                lines = self.without_record()
                with open(temporary, "wb") as file:
                    file.writelines(q_values.csv_lines(lines) if q_values else lines)

    def _write(self, mode: str, data: bytes) -> None:
        with runs.naming_file(self.path), open(self.path, mode) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def _lines(self) -> Iterator[tuple[bytes, int]]:
        """(line, where it ends) of each whole row; none where there is no table."""
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
            if file.readline() != self._header:
                return
            end = len(self._header)
            for line in file:
                if not line.endswith(b"\n") or b"\0" in line:
                    return
                end += len(line)
                yield line, end

    def _write_parquet(self, target: pathlib.Path, q_values: QValues | None) -> None:
        import pyarrow.csv
        import pyarrow.parquet

        schema = table_schema()
        longest = max((len(line) for line, _ in self._lines()), default=0)
        read = pyarrow.csv.ReadOptions(block_size=max(_BLOCK, 2 * longest))
        convert = pyarrow.csv.ConvertOptions(
            column_types=schema,
            include_columns=schema.names,
            null_values=[""],  # and not "nan", which is a number here
            strings_can_be_null=False,
        )
        made = table_schema(Q_COLUMNS) if q_values else schema
        with pyarrow.csv.open_csv(self.path, read_options=read, convert_options=convert) as reader:
            with open(target, "wb") as file, pyarrow.parquet.ParquetWriter(file, made) as writer:
                for batch in reader:
                    writer.write_batch(q_values.batch(batch) if q_values else batch)


@contextlib.contextmanager
def whole(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """A path to write to: afterwards what was written there is at `target`; after an exception nothing is.

    Raises:
      OSError: If that fails; `filename` says where.
    """
    temporary = target.with_name(target.name + ".tmp")
    with runs.naming_file(target):
        try:
            yield temporary
            runs.sync(temporary)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        runs.sync(target.parent)


def _quoted(line: str) -> str:
    """The first field of a line of CSV that begins with a quote."""
    end = line.index('"', 1)
    while line[end + 1] == '"':
        end = line.index('"', end + 2)
    return line[1:end].replace('""', '"')
