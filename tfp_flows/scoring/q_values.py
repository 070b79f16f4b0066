"""Q-values of a table, and verdicts by them, once all of its rows are known: in memory for n + 1 numbers."""

import collections
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tfp_flows.detectors import false_discoveries
from tfp_flows.scoring.table import FOREIGN, OWN, Q_COLUMNS, ScoringError, csv_text, table_schema

if TYPE_CHECKING:  # of an extra
    import pyarrow


class QValues:
    """What `detectors.select` says of the images of a table.

    A row without a p-value has no q-value and no verdict; a NaN counts as 1.

    Attributes:
      images: m, rows with a p-value.
      selected: How many of them are called out of distribution, q <= fdr.
      threshold: The largest p-value among these; 0 where there is none.
    """

    def __init__(
        self,
        counts: Mapping[float, int],
        fdr: float,
        storey: bool = False,
        num_calibration: int | None = None,
    ) -> None:
        """Computes them.

        Args:
          counts: How many rows have each p-value, which is a float32.
          fdr: As for `detectors.select`.
          storey: As for `detectors.select`.
          num_calibration: As for `detectors.select`; None where p-values are taken as they are.

        Raises:
          DetectorError: If there is something else among the p-values.
        """
        whole: collections.Counter[float] = collections.Counter()
        for value, count in counts.items():
            whole[1.0 if np.isnan(value) else value] += count
        found = false_discoveries.checked(np.array(sorted(whole), np.float32))
        many = np.array([whole[value] for value in sorted(whole)], np.int64)
        self._distinct = false_discoveries.of_counts(found, many, storey, num_calibration=num_calibration)
        self._fdr = fdr
        self.images = int(many.sum())
        self.threshold = self._distinct.threshold(fdr)
        self.selected = int(many[found <= np.float32(self.threshold)].sum()) if self.threshold else 0
        self._texts: dict[bytes, tuple[bytes, bytes]] = {b"": (b"", b"")}

    def of(self, p_values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(q-values float32 `[N]`, verdicts `[N]`) of p-values float32 `[N]` of the table."""
        p_values = np.asarray(p_values, np.float32)
        known = np.isnan(p_values)
        places = np.searchsorted(self._distinct.p_values, p_values)  # of NaN: behind all
        places = np.minimum(places, len(self._distinct.q_values) - 1)
        q_values = np.where(known, np.float32(np.nan), self._distinct.q_values[places])
        return q_values, np.where(q_values <= np.float32(self._fdr), FOREIGN, OWN)

    def texts(self, p_value: bytes) -> tuple[bytes, bytes]:
        """(q-value, verdict) of a p-value, as text of CSV."""
        found = self._texts.get(p_value)
        if found is None:
            q_values, verdicts = self.of(np.array([float(p_value)], np.float32))
            text = csv_text([(float(q_values[0]),)]).strip()
            found = self._texts[p_value] = (text.encode(), str(verdicts[0]).encode())
        return found

    def csv_lines(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """A table as CSV, with its header, whose last two columns are p_value and verdict; with q-values."""
        yield csv_text([Q_COLUMNS]).encode()
        for line in _after_header(lines):
            head, p_value, _ = line.rsplit(b",", 2)
            yield b",".join((head, p_value, *self.texts(p_value))) + b"\n"

    def batch(self, batch: "pyarrow.RecordBatch") -> "pyarrow.RecordBatch":
        """Rows of a table as Parquet, with q-values."""
        import pyarrow

        p_values = batch.column("p_value").to_numpy(zero_copy_only=False)
        missing = batch.column("p_value").is_null().to_numpy(zero_copy_only=False)
        q_values, verdicts = self.of(np.where(missing, np.float32(np.nan), p_values))
        columns = {name: batch.column(name) for name in batch.schema.names}
        columns["q_value"] = pyarrow.array(q_values, pyarrow.float32(), mask=missing)
        columns["verdict"] = pyarrow.array(np.where(missing, "", verdicts).tolist(), pyarrow.string())
        schema = table_schema(Q_COLUMNS)
        return pyarrow.record_batch([columns[name] for name in schema.names], schema=schema)


def _after_header(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines behind the first, without their ends."""
    found = iter(lines)
    next(found, None)
    for line in found:
        yield line.rstrip(b"\r\n")


def counts_of_lines(lines: Iterable[bytes]) -> dict[float, int]:
    """How many rows of a table as CSV, as in `QValues.csv_lines`, have each p-value."""
    texts = collections.Counter(line.rsplit(b",", 2)[1] for line in _after_header(lines))
    found: collections.Counter[float] = collections.Counter()
    for text, count in texts.items():
        if text:
            try:
                found[float(np.float32(float(text)))] += count
            except ValueError as error:
                raise ScoringError(f"`p_value`: {text.decode(errors='replace')!r} is no number.") from error
    return found


def counts_of_batches(batches: "Iterable[pyarrow.RecordBatch]") -> dict[float, int]:
    """How many rows of a table as Parquet have each p-value."""
    found: collections.Counter[float] = collections.Counter()
    for batch in batches:
        values = batch.column("p_value").drop_null().to_numpy(zero_copy_only=False).astype(np.float32)
        for value, count in zip(*np.unique(values, return_counts=True), strict=True):
            found[float(value)] += int(count)
    return found
