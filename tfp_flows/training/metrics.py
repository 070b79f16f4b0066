"""What a run records as it trains: a table and TensorBoard events."""

import contextlib
import csv
import os
import pathlib
import warnings

from tfp_flows import runs
from tfp_flows.checks.errors import UserError
from tfp_flows.training.units import BITS_PER_DIM, Unit


def columns(unit: Unit) -> tuple[str, ...]:
    """The columns of `metrics.csv` for losses in this unit."""
    return (
        "step",
        unit.name,
        "gradient_norm",
        "learning_rate",
        f"validation_{unit.name}",
        f"{unit.examples}_per_second",
    )


METRICS = columns(BITS_PER_DIM)


def read(csv_file: pathlib.Path, names: tuple[str, ...] = METRICS) -> dict[int, dict[str, str]]:
    """The rows of a `metrics.csv` by their step; none where there is no file.

    A row that was cut short is left out, as is whatever else is no row.

    Raises:
      RunError: If its columns are others.
    """
    if not csv_file.exists():
        return {}
    if not csv_file.is_file():
        raise runs.RunError(f"`run`: {csv_file} is damaged: it is no file.")
    text = csv_file.read_text(encoding="utf-8", errors="replace")
    first, *lines = text[: text.rfind("\n") + 1].replace("\r\n", "\n").split("\n")
    if first not in ("", ",".join(names)):
        raise runs.RunError(f"`run`: {csv_file} is damaged: its first line is not {','.join(names)}.")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines if _is_row(line, len(names))]
    return {int(row["step"]): row for row in rows}


def _is_row(line: str, length: int) -> bool:
    step, *values = line.split(",")
    try:
        int(step), [float(value) for value in values if value]
    except ValueError:
        return False
    return len(values) == length - 1


class Metrics:
    """`metrics.csv` and TensorBoard events, appended to.

    Rows of the table after `start` are dropped first; events that were written stay, and TensorBoard shows
    the newest of a step.

    Attributes:
      events: The `Events`, while it is open.
    """

    def __init__(
        self,
        csv_file: pathlib.Path,
        events: pathlib.Path,
        start: int,
        names: tuple[str, ...] = METRICS,
        log_every: int = 0,
    ):
        """Names the file and the folder; nothing is read or written yet.

        Args:
          csv_file: The table.
          events: Folder for TensorBoard.
          start: The step that training goes on from.
          names: The table's columns.
          log_every: Steps between its rows, of which those up to `start` should be there; 0 if unknown.
        """
        self._csv_file = csv_file
        self._events_folder = events
        self._start = start
        self._names = names
        self._log_every = log_every

    def __enter__(self) -> "Metrics":
        """Opens the table, and drops the rows after `start`; warns of rows before it that are lost."""
        from tfp_flows.training.events import Events

        found = read(self._csv_file, self._names)
        kept = {step: row for step, row in found.items() if step <= self._start}
        self._warn_of_lost(kept)
        lines = [",".join(self._names)]
        lines += [",".join(row[key] for key in self._names) for row in kept.values()]
        runs.write_atomically(self._csv_file, "\n".join(lines) + "\n")
        self.events = Events(self._events_folder)
        self._file = open(self._csv_file, "a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, self._names, lineterminator="\n")
        self._pending: dict = {}
        return self

    def add(self, step: int, **values: float) -> None:
        """Adds values at `step`; those of one step share a row."""
        if self._pending and self._pending["step"] != step:
            self._write()
        self._pending.update(step=step, **{k: f"{v:.10g}" for k, v in values.items()})
        self.events.add(step, **values)

    def flush(self) -> None:
        """Writes the row that is still open, if there is one, and brings all of them to the disk."""
        self._write()
        with runs.naming_file(self._csv_file):
            os.fsync(self._file.fileno())

    def __exit__(self, *error: object) -> None:
        """Writes the last row and closes the files; a failure in that hides none that came before it."""
        with contextlib.ExitStack() as stack:
            if error[0] is not None:
                stack.enter_context(contextlib.suppress(OSError, UserError))
            stack.callback(self.events.close)
            stack.callback(self._close)
            self._write()

    def _write(self) -> None:
        with runs.naming_file(self._csv_file):
            if self._pending:
                self._writer.writerow(self._pending)
                self._file.flush()
        self._pending = {}

    def _close(self) -> None:
        with runs.naming_file(self._csv_file):
            self._file.close()

    def _warn_of_lost(self, kept: dict[int, dict[str, str]]) -> None:
        due = range(self._log_every, self._start + 1, self._log_every) if self._log_every else ()
        lost = [step for step in due if step not in kept]
        if lost:
            warnings.warn(
                f"`run`: {self._csv_file} has lost its rows of {len(lost)} of {len(due)} steps, "
                f"from {lost[0]} to {lost[-1]}; training goes on from step {self._start}.",
                runs.RunWarning,
                stacklevel=2,
            )
