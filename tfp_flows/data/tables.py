"""Tables of numbers, whose rows are vectors: read whole, and divided as sets of images are.

A name is [ALIAS=]PATH, of a .csv, a .npy or a .npz, or [ALIAS=]table:PATH. Operations such as @resize are
for images. A row's split follows from its numbers alone, by the rule of `tfp_flows.data.splits`: the order
of the rows has no part in it, and equal rows are in the same split.
"""

import dataclasses
import hashlib
import os
from collections.abc import Sequence

import numpy as np

from tfp_flows.data import splits, table_files
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import ALL, SPLITS
from tfp_flows.data.names import TABLE, Name, take_apart
from tfp_flows.data.table_files import MOST_NAMED, SUFFIXES, Contents

FEWEST = 20  # rows that can be divided
HELD_OUT_FRACTION = 5  # early stopping, a detector and its p-values take more rows than images


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Some rows of a table.

    Attributes:
      name: As it was given.
      split: One of `SPLITS`, or "all".
      rows: float64 `[N, D]`, finite.
      columns: What the D columns are called; none where the file has no header and all of it is taken.
      keys: Of each row, by its numbers.
      places: Of each row, which it is in the file, from 0: int64 `[N]`.
      total: How many rows the split has, of which these are a fixed sample where there are more.
      remarks: What was left out, in words.
    """

    name: str
    split: str
    rows: np.ndarray
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    places: np.ndarray
    total: int
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        """N."""
        return len(self.rows)

    @property
    def count(self) -> str:
        """N as text, such as "10,000", or "500 of 10,000" of a sample."""
        return f"{len(self):,}" if self.total == len(self) else f"{len(self):,} of {self.total:,}"

    @property
    def labels(self) -> tuple[str, ...]:
        """What the columns are called in messages: by their numbers where they have no names."""
        return self.columns or tuple(map(str, range(self.rows.shape[1])))

    def select(self, indices: np.ndarray, split: str | None = None) -> "Table":
        """The rows at `indices`, as all there are of `split` (default: its own)."""
        return dataclasses.replace(
            self,
            split=split or self.split,
            rows=self.rows[indices],
            keys=tuple(self.keys[index] for index in indices),
            places=self.places[indices],
            total=len(indices),
        )

    def sample(self, most: int | None) -> "Table":
        """At most so many of the rows, a fixed random sample; none for all."""
        if most is None or most >= len(self):
            return self
        chosen = splits.in_order_of_chance(self.keys)[:most]
        return dataclasses.replace(self.select(chosen), total=len(self))

    def divided(self) -> dict[str, "Table"]:
        """Its splits: "train", "validation", "calibration" and "test".

        Test is about a tenth of the rows; of the others validation is a fifth, and so is calibration.

        Raises:
          DataError: If it has fewer rows than `FEWEST`.
        """
        if len(self) < FEWEST:
            raise DataError(
                f"{self.name}: {len(self)} rows are too few to be divided into {', '.join(SPLITS)}: give at "
                f"least {FEWEST}"
            )
        fractions = (HELD_OUT_FRACTION, HELD_OUT_FRACTION)
        held_out = splits.divide(self.keys, splits.HELD_OUT, self.name, *fractions)
        return {split: self.select(held_out[split], split) for split in SPLITS}

    def as_type(self, dtype: str) -> np.ndarray:
        """The rows in the type of a flow, `[N, D]`.

        Raises:
          DataError: If a number is too large for it.
        """
        with np.errstate(over="ignore"):
            found = self.rows.astype(dtype)
        wrong = np.flatnonzero(~np.isfinite(found).all(axis=0))
        if len(wrong):
            raise DataError(f"{self.name}: column {self.labels[wrong[0]]} has numbers too large for {dtype}")
        return found


def table_name(name: str) -> str:
    """The name as [ALIAS=]table:PATH where it is that of a table; "" where it is one of images.

    An archive, .npz, is a table where it holds one array which is no array of images, and was not named as
    `npz:PATH`. This is the one place that decides.

    Raises:
      DataError: If the name makes no sense, or a table's has operations.
    """
    parts = take_apart(name)
    source = parts.source
    bare = source.kind == "tfds" and source.text == source.argument
    archive = bare and source.text.lower().endswith(".npz") and table_files.holds_vectors(source.text)
    if source.kind != TABLE and not archive:
        return ""
    if parts.operations:
        raise DataError(f"{name}: @{parts.pieces[0]} is for images, and {source.argument} is a table")
    return f"{parts.alias and f'{parts.alias}='}{TABLE}:{source.argument}"


def read_table(
    name: str,
    columns: Sequence[str] = (),
    ignore: Sequence[str] = (),
    skip_unreadable: bool = False,
) -> Table:
    """A whole table.

    Args:
      name: [ALIAS=]PATH, or [ALIAS=]table:PATH.
      columns: Which columns are taken, by the names of the header, in this order; of a file without a header
        by their numbers from 0, or as they stand if they are as many. none for all.
      ignore: Columns that are left out where all are taken.
      skip_unreadable: Whether rows that hold no number somewhere are left out; else they are refused.

    Returns:
      `Table`, of split "all".

    Raises:
      DataError: If it cannot be read, a column holds no numbers, or rows hold what is none.
    """
    path = _path(take_apart(name), name)
    contents = _contents(path, columns, ignore)
    good = np.isfinite(contents.rows).all(axis=1)
    remarks = ["its first column, which has no name, is left out"] if contents.unnamed else []
    if not good.all():
        wrong = _wrong(contents, good)
        if not skip_unreadable:
            raise DataError(f"{path}: {wrong}; `skip_unreadable` leaves them out")
        remarks.append(f"left out: {wrong}")
    if not good.any():
        raise DataError(f"{path}: no row holds numbers in all columns")
    rows = contents.rows[good] + 0.0  # there is one zero
    rows.flags.writeable = False
    keys = tuple(hashlib.sha256(row.tobytes()).hexdigest() for row in rows)
    named = contents.columns if contents.header or not contents.whole else ()
    places = np.flatnonzero(good)
    return Table(name, ALL, rows, named, keys, places, len(rows), tuple(remarks))


def rows_of(path: str, columns: Sequence[str]) -> np.ndarray:
    """The rows of the file of a table, float64 `[N, D]`, all of them finite: those to be scored.

    Args:
      path: .csv, .npy or .npz.
      columns: As for `read_table`.

    Raises:
      DataError: As `read_table`.
    """
    contents = _contents(path, columns, ())
    good = np.isfinite(contents.rows).all(axis=1)
    if not good.all():
        raise DataError(f"{path}: {_wrong(contents, good)}")
    return contents.rows


def _contents(path: str, columns: Sequence[str], ignore: Sequence[str]) -> Contents:
    try:
        contents = table_files.read(path, columns, ignore)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    _refuse_words(path, contents)
    return contents


def _path(parts: Name, name: str) -> str:
    path = parts.source.argument
    if not path.lower().endswith(SUFFIXES):
        raise DataError(f"{name}: a table is a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if not os.path.exists(os.path.expanduser(path)):
        raise DataError(f"{path}: no such file")
    return path


def _refuse_words(path: str, contents: Contents) -> None:
    """Refuses columns in which no cell is a number."""
    empty = np.flatnonzero(np.isnan(contents.rows).all(axis=0))
    if contents.lines is None or not len(empty) or len(empty) == contents.rows.shape[1]:
        return
    names = [contents.columns[place] for place in empty]
    first = contents.words[empty[0]]
    said = f" ({first!r}, ...)" if first else ""
    several = len(names) > 1
    listed = ", ".join(names[:MOST_NAMED]) + ", ..." * (len(names) > MOST_NAMED)
    raise DataError(
        f"{path}: column{'s' * several} {listed} hold{'s' * (not several)} no numbers{said}: "
        f"`ignore={','.join(names)}` leaves {'them' if several else 'it'} out, `columns` names those to take"
    )


def _wrong(contents: Contents, good: np.ndarray) -> str:
    """Which rows are refused, and why the first one is."""
    wrong = np.flatnonzero(~good)
    listed = ", ".join(map(str, wrong[:MOST_NAMED])) + ", ..." * (len(wrong) > MOST_NAMED)
    count = f"{len(wrong):,} such row{'s' * (len(wrong) > 1)} of {len(good):,}: {listed}"
    row, first = contents.rows[wrong[0]], wrong[0]
    bad = [contents.columns[place] for place in np.flatnonzero(~np.isfinite(row))]
    where = f"column {bad[0]}" if len(bad) < len(row) else "it"
    if contents.lines is None or not np.isnan(row).any():
        return f"row {first} holds what is no finite number in {where} ({count})"
    line = ",".join(contents.lines[first])
    return f"row {first} must hold {len(row)} numbers, got {line!r:.200} ({count})"
