"""Q-values for tables that are finished already, such as those of several machines, as one."""

import glob
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tfp_flows import runs
from tfp_flows.checks import extras, files
from tfp_flows.detectors import false_discoveries
from tfp_flows.scoring.ending import Ending, scored_rows
from tfp_flows.scoring.groups import Scored, group_rows, groups_text
from tfp_flows.scoring.growing import whole
from tfp_flows.scoring.q_values import QValues, counts_of_batches, counts_of_lines
from tfp_flows.scoring.table import COLUMNS, Q_COLUMNS, ScoringError, csv_text, table_schema

if TYPE_CHECKING:  # of an extra
    import pyarrow


def select_in_tables(
    tables: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    fdr: float = 0.1,
    *,
    storey: bool = False,
    num_calibration: int | None = None,
    group_by: str | None = None,
) -> Ending:
    """Writes tables of `tfp_flows.score` once more, as one, with q-values and verdicts by them.

        scoring.select_in_tables("scores-*.csv", "selected.csv", fdr=0.1)

    In memory for the different p-values alone. With `group_by` there is a table OUT.groups.csv as well.

    Args:
      tables: Paths or globs; all .csv or all .parquet, of one detector and of different images.
      out: The table to write, with the same ending; it must not be there.
      fdr: As for `detectors.select`.
      storey: As for `detectors.select`.
      num_calibration: As for `detectors.select`; with `group_by` it must be given.
      group_by: "folder", or None.

    Returns:
      `Ending`: its `q_values` and `groups` are what came of it, `lines()` says it in words.

    Raises:
      ScoringError: If there is no such table, it has no p-values, or `out` is there.
      DetectorError: If an argument makes no sense.
    """
    false_discoveries.check_fdr(fdr)
    ending = Ending(fdr=fdr, storey=storey, group_by=group_by, num_calibration=num_calibration)
    target, paths = pathlib.Path(out), _paths(tables)
    kind = target.suffix
    if kind not in (".csv", ".parquet") or any(path.suffix != kind for path in paths):
        raise ScoringError("`out`: it and all tables must end in .csv, or all in .parquet.")
    groups = target.with_name(target.name + ".groups.csv")
    for path in (target, groups) if group_by is not None else (target,):
        if path.exists():
            raise ScoringError(f"`out`: {path} is there already; remove it, or give another `out`.")
    parquet = kind == ".parquet"
    counts = counts_of_batches(_batches(paths)) if parquet else counts_of_lines(_lines(paths))
    if not counts:
        raise ScoringError(
            "`tables`: there is no row with a p-value; calibrate a detector and score with it."
        )
    ending.q_values = q_values = QValues(counts, fdr, storey, num_calibration)
    if group_by is not None:
        rows = _scored_batches(paths, q_values) if parquet else _scored_lines(paths, q_values)
        ending.groups = group_rows(rows, num_calibration or 0, fdr)
        runs.write_atomically(groups, groups_text(ending.groups))
    with whole(target) as temporary:
        if parquet:
            _write_batches(temporary, paths, q_values)
        else:
            with open(temporary, "wb") as file:
                file.writelines(q_values.csv_lines(_lines(paths)))
    return ending


def _paths(tables: str | os.PathLike | Sequence[str | os.PathLike]) -> list[pathlib.Path]:
    names = [tables] if isinstance(tables, str | os.PathLike) else tables
    found: dict[str, None] = {}
    for name in names:
        path = os.fspath(name)
        matches = [path] if os.path.exists(path) else sorted(glob.glob(path))
        if not matches:
            raise ScoringError(f"`tables`: there is no table {path}.")
        found |= dict.fromkeys(matches)
    if not found:
        raise ScoringError("`tables`: name at least one.")
    for known in found:
        files.check_regular(known)
    return [pathlib.Path(known) for known in found]


def _lines(paths: Sequence[pathlib.Path]) -> Iterator[bytes]:
    """The lines of tables as CSV, with one header."""
    header = csv_text([COLUMNS]).encode()
    yield header
    for path in paths:
        with runs.naming_file(path), open(path, "rb") as file:
            if file.readline().rstrip(b"\r\n") != header.rstrip():
                raise ScoringError(f"`tables`: {path} has not the columns {', '.join(COLUMNS)}.")
            for line in file:
                if line.count(b",") < len(COLUMNS) - 1:
                    raise ScoringError(f"`tables`: {path} has a line that is no row: {line[:40]!r}.")
                yield line


def _batches(paths: Sequence[pathlib.Path]) -> "Iterator[pyarrow.RecordBatch]":
    with extras.needed("parquet", "a .parquet table"):
        import pyarrow
        from pyarrow import parquet
    for path in paths:
        try:
            with parquet.ParquetFile(path) as file:
                if tuple(file.schema_arrow.names) != COLUMNS:
                    raise ScoringError(f"`tables`: {path} has not the columns {', '.join(COLUMNS)}.")
                yield from file.iter_batches()
        except pyarrow.ArrowException as error:
            reason = str(error).splitlines()[0]
            raise ScoringError(f"`tables`: {path} is no Parquet table: {reason}.") from error


def _write_batches(target: pathlib.Path, paths: Sequence[pathlib.Path], q_values: QValues) -> None:
    from pyarrow import parquet

    with open(target, "wb") as file, parquet.ParquetWriter(file, table_schema(Q_COLUMNS)) as writer:
        for batch in _batches(paths):
            writer.write_batch(q_values.batch(batch))


def _scored_lines(paths: Sequence[pathlib.Path], q_values: QValues) -> Iterator[Scored]:
    for path in paths:
        yield from scored_rows(path, 0, q_values)


def _scored_batches(paths: Sequence[pathlib.Path], q_values: QValues) -> Iterator[Scored]:
    for batch in _batches(paths):
        done = q_values.batch(batch)
        p_values = done.column("p_value").to_numpy(zero_copy_only=False)
        keys, verdicts = done.column("key").to_pylist(), done.column("verdict").to_pylist()
        for key, p_value, verdict in zip(keys, p_values.tolist(), verdicts, strict=True):
            yield Scored(key, p_value, verdict)
