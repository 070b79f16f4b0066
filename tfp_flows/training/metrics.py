"""What a run records as it trains: a table and TensorBoard events."""

import csv
import pathlib

from tfp_flows import runs
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

    Raises:
      RunError: If its columns are not these.
    """
    if not csv_file.exists():
        return {}
    with open(csv_file, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or names) != names:
            raise runs.RunError(f"`run`: {csv_file} is damaged: its first line is not {','.join(names)}.")
        return {int(row["step"]): row for row in reader if row["step"]}


class Metrics:
    """`metrics.csv` and TensorBoard events, appended to.

    Rows of the table after `start` are dropped first; events that were written stay, and TensorBoard shows
    the newest of a step.
    """

    def __init__(
        self,
        csv_file: pathlib.Path,
        events: pathlib.Path,
        start: int,
        names: tuple[str, ...] = METRICS,
    ):
        """Names the file and the folder; `start` is the step that training goes on from."""
        self._csv_file = csv_file
        self._events_folder = events
        self._start = start
        self._names = names

    def __enter__(self) -> "Metrics":
        """Opens the table and drops the rows after `start`."""
        from tfp_flows.training.events import Events

        kept = [row for step, row in read(self._csv_file, self._names).items() if step <= self._start]
        lines = [",".join(self._names)]
        lines += [",".join(row[key] for key in self._names) for row in kept]
        runs.write_atomically(self._csv_file, "\n".join(lines) + "\n")
        self._file = open(self._csv_file, "a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, self._names, lineterminator="\n")
        self._pending: dict = {}
        self._events = Events(self._events_folder)
        return self

    def add(self, step: int, **values: float) -> None:
        """Adds values at `step`; those of one step share a row."""
        if self._pending and self._pending["step"] != step:
            self.flush()
        self._pending.update(step=step, **{k: f"{v:.10g}" for k, v in values.items()})
        self._events.add(step, **values)

    def flush(self) -> None:
        """Writes the row that is still open, if there is one."""
        if self._pending:
            self._writer.writerow(self._pending)
            self._file.flush()
        self._pending = {}

    def __exit__(self, *error: object) -> None:
        """Writes the last row and closes the files."""
        self.flush()
        self._file.close()
        self._events.close()
