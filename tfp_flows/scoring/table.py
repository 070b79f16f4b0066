"""Scores a stream of images into a table, in bounded memory; an interrupted job goes on where it was.

OUT (.csv or .parquet)   one row per image that could be read
OUT.errors.csv           one row per image that could not, with the reason
OUT.progress.json        while the job is unfinished: how far both tables go
"""

import csv
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tqdm

from tfp_flows import runs
from tfp_flows.checks import extras
from tfp_flows.checks.errors import UserError
from tfp_flows.data import streams

if TYPE_CHECKING:  # of an extra
    import pyarrow

FOREIGN, OWN = "out", "in"
# Function from uint8 `[B, H, W, C]` to a dict of arrays `[B]`.
Scorer = Callable[[np.ndarray], dict[str, np.ndarray]]


class ScoringError(UserError):
    """Images cannot be scored; the message is one line that says why."""


class ScoredImage(NamedTuple):
    """A row of the table. The numbers are float32; those that the model does not give are None.

    Attributes:
      key: Of the image.
      log_prob: In nats.
      bits_per_dim: The same in bits per dimension.
      score: Of the detector; higher is more foreign.
      p_value: Of the score.
      verdict: "out", "in", or "" where there is no p-value.
    """

    key: str
    log_prob: float | None
    bits_per_dim: float | None
    score: float | None
    p_value: float | None
    verdict: str


class FailedImage(NamedTuple):
    """A row of the table of errors: the key of an image, and in one line why it has no numbers."""

    key: str
    error: str


COLUMNS = ScoredImage._fields
ERROR_COLUMNS = FailedImage._fields


class Counts(NamedTuple):
    """How many images were scored, and how many could not be read."""

    scored: int
    failed: int


@dataclasses.dataclass(frozen=True)
class Job:
    """What makes a job the same job when it is started again.

    Attributes:
      images: Name of the stream.
      model: What scores, as a string.
      alpha: Level of the verdict.
    """

    images: str
    model: str
    alpha: float


def verdicts(p_values: np.ndarray | Sequence[float], alpha: float) -> np.ndarray:
    """The word for each p-value: "out" where p <= alpha, else "in".

    In float32, as p-values are: so do `Detector.predict` and `calibration.threshold`.
    """
    return np.where(np.asarray(p_values, np.float32) <= np.float32(alpha), FOREIGN, OWN)


def score_stream(
    scorer: Scorer,
    open_stream: Callable[[int], Iterable[streams.Item]],
    out: str | os.PathLike,
    job: Job,
    batch_size: int = 128,
    progress: bool = True,
) -> Counts:
    """Scores every image of a stream.

    Rows in = rows out + errors, always: tables and progress are written after each batch, and what a killed
    job wrote beyond the last progress is cut off before it goes on.

    Args:
      scorer: Function from uint8 `[B, H, W, C]` to a dict of arrays `[B]`: log_prob, bits_per_dim and, where
        there is a detector, score and p_value.
      open_stream: Function from a number of items to leave out to an iterator of `data.streams.Item`.
      out: Path of the table, .csv or .parquet.
      job: `Job`.
      batch_size: Images scored at once.
      progress: Whether to show a bar with images/s.

    Returns:
      `Counts` over the whole job.

    Raises:
      ScoringError: If another job wrote `out`, or it has another ending.
    """
    journal = _Journal(out, job)
    counts = journal.begin()
    bar = tqdm.tqdm(unit="image", initial=sum(counts), disable=not progress, desc=job.images)
    with bar:
        for batch in _batches(open_stream(sum(counts)), batch_size):
            good = [item for item in batch if item.image is not None]
            bad = [FailedImage(item.key, item.error) for item in batch if item.image is None]
            rows = score_items(scorer, good, job.alpha) if good else []
            counts = Counts(counts.scored + len(rows), counts.failed + len(bad))
            journal.append(rows, bad, counts)
            bar.update(len(batch))
    journal.finish()
    return counts


def score_items(scorer: Scorer, items: Sequence[streams.Item], alpha: float) -> list[ScoredImage]:
    """The rows of a batch.

    Args:
      scorer: As in `score_stream`.
      items: `data.streams.Item`s that have an image, at least one.
      alpha: Level of the verdict.

    Returns:
      List of `ScoredImage`, in the same order.
    """
    images = np.stack([item.image for item in items if item.image is not None])
    values = {name: np.asarray(value) for name, value in scorer(images).items()}
    numbers = {name: value.astype(np.float32).tolist() for name, value in values.items()}
    columns = [numbers.get(name, [None] * len(items)) for name in COLUMNS[1:-1]]
    verdict = verdicts(values["p_value"], alpha).tolist() if "p_value" in values else [""] * len(items)
    return [ScoredImage(item.key, *row) for item, *row in zip(items, *columns, verdict, strict=True)]


def csv_text(rows: Iterable[Sequence[str | float | None]]) -> str:
    """Rows of either table as CSV; a number is the shortest text that reads back as the same float32."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(_text, row) for row in rows)
    return text.getvalue()


def _text(value: str | float | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return np.format_float_positional(np.float32(value), trim="0")


def _batches(items: Iterable[streams.Item], size: int) -> Iterator[list[streams.Item]]:
    batch: list[streams.Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class _Journal:
    """Two growing tables and a note of how far they are trusted."""

    def __init__(self, out: str | os.PathLike, job: Job) -> None:
        self._out = pathlib.Path(out)
        if self._out.suffix not in (".csv", ".parquet"):
            raise ScoringError(f"`out`: {out} must end in .csv or .parquet.")
        if self._out.suffix == ".parquet":
            table_schema()  # where it cannot be made, that is said now, and not at the end
        # A table that is not finished is always text: Parquet cannot be appended to.
        self._rows = self._out.with_name(self._out.name + ".part")
        self._errors = self._out.with_name(self._out.name + ".errors.csv")
        self._progress = self._out.with_name(self._out.name + ".progress.json")
        self._job = dataclasses.asdict(job)

    def begin(self) -> Counts:
        """Opens the tables at the end of what is trusted; the counts so far."""
        if self._out.exists():
            raise ScoringError(f"`out`: {self._out} is there already; remove it to score anew.")
        self._out.parent.mkdir(parents=True, exist_ok=True)
        if not self._was_begun():
            self._rows.write_text(csv_text([COLUMNS]), encoding="utf-8")
            self._errors.write_text(csv_text([ERROR_COLUMNS]), encoding="utf-8")
            self._note(Counts(0, 0))
        noted = json.loads(self._progress.read_text(encoding="utf-8"))
        if noted["job"] != self._job:
            changed = [k for k, v in self._job.items() if noted["job"].get(k) != v]
            raise ScoringError(
                f"`out`: {self._progress} is of a job with another {', '.join(changed)}; finish that "
                f"one, or remove it."
            )
        for path, size in ((self._rows, noted["rows"]), (self._errors, noted["errors"])):
            if not path.exists() or path.stat().st_size < size:
                raise ScoringError(f"`out`: {path} is shorter than {self._progress} says; remove both.")
            os.truncate(path, size)
        return Counts(*noted["counts"])

    def _was_begun(self) -> bool:
        """Whether there are rows to go on from: a job that failed at once, for a wrong name, has none."""
        if not self._progress.exists():
            return False
        return sum(json.loads(self._progress.read_text(encoding="utf-8"))["counts"]) > 0

    def append(self, rows: list[ScoredImage], errors: list[FailedImage], counts: Counts) -> None:
        """Adds to both tables, then notes it."""
        for path, new in ((self._rows, rows), (self._errors, errors)):
            with open(path, "a", encoding="utf-8", newline="") as file:
                file.write(csv_text(new))
                file.flush()
                os.fsync(file.fileno())
        self._note(counts)

    def finish(self) -> None:
        """Gives the table its name; the note goes last."""
        if self._out.suffix == ".parquet":
            _to_parquet(self._rows, self._out)
            self._rows.unlink()
        else:
            os.replace(self._rows, self._out)
        self._progress.unlink()

    def _note(self, counts: Counts) -> None:
        sizes = {"rows": self._rows.stat().st_size, "errors": self._errors.stat().st_size}
        text = json.dumps({"job": self._job, "counts": list(counts), **sizes})
        runs.write_atomically(self._progress, text + "\n")


def table_schema() -> "pyarrow.Schema":
    """`pyarrow.Schema` of the table as Parquet; raises `UserError` where pyarrow is not installed."""
    with extras.needed("parquet", "a .parquet table"):
        import pyarrow
    numbers = [(name, pyarrow.float32()) for name in COLUMNS[1:-1]]
    return pyarrow.schema([("key", pyarrow.string()), *numbers, ("verdict", pyarrow.string())])


def _to_parquet(source: pathlib.Path, target: pathlib.Path) -> None:
    """Rewrites the text table as Parquet, a block at a time."""
    import pyarrow.csv
    import pyarrow.parquet

    options = pyarrow.csv.ConvertOptions(column_types=table_schema(), strings_can_be_null=False)
    temporary = target.with_name(target.name + ".tmp")
    with pyarrow.csv.open_csv(source, convert_options=options) as reader:
        with pyarrow.parquet.ParquetWriter(temporary, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
    os.replace(temporary, target)
