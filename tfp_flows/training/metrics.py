"""What a run records as it trains: a table and TensorBoard events."""

import csv

import tensorflow as tf

from tfp_flows import runs

METRICS = (
    "step",
    "bits_per_dim",
    "gradient_norm",
    "learning_rate",
    "validation_bits_per_dim",
    "images_per_second",
)


class NoMetrics:
    """Records nothing: for the hosts of a training that do not write."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def add(self, step, **values):
        """Forgets the values."""

    def flush(self):
        """Does nothing."""


class Metrics:
    """`metrics.csv` and TensorBoard events, appended to.

    Rows of the table after `start` are dropped first; events that were written stay, and TensorBoard shows
    the newest of a step.
    """

    def __init__(self, csv_file, events, start):
        """Names the file and the folder; `start` is the step that training goes on from."""
        self._csv_file = csv_file
        self._events = events
        self._start = start
        self._rows = {}

    def __enter__(self):
        if self._csv_file.exists():
            with open(self._csv_file, newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                if tuple(reader.fieldnames or METRICS) != METRICS:
                    raise runs.RunError(
                        f"`run`: {self._csv_file} is damaged: its first line is not {','.join(METRICS)}."
                    )
                for row in reader:
                    if row["step"] and int(row["step"]) <= self._start:
                        self._rows[int(row["step"])] = row
        lines = [",".join(METRICS)]
        lines += [",".join(row[key] for key in METRICS) for row in self._rows.values()]
        runs.write_atomically(self._csv_file, "\n".join(lines) + "\n")
        self._file = open(self._csv_file, "a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, METRICS, lineterminator="\n")
        self._pending = {}
        self._summaries = tf.summary.create_file_writer(str(self._events))
        return self

    def add(self, step, **values):
        """Adds values at `step`; those of one step share a row."""
        if self._pending and self._pending["step"] != step:
            self.flush()
        self._pending.update(step=step, **{k: f"{v:.10g}" for k, v in values.items()})
        with self._summaries.as_default():
            for key, value in values.items():
                tf.summary.scalar(key, value, step=step)

    def flush(self):
        """Writes the row that is still open, if there is one."""
        if self._pending:
            self._writer.writerow(self._pending)
            self._file.flush()
        self._pending = {}

    def __exit__(self, *error):
        self.flush()
        self._file.close()
        self._summaries.close()
