"""The tables of a scoring job: their rows, as text and as Parquet.

    OUT (.csv or .parquet)   one row per image that could be read
    OUT.errors.csv           one row per image that could not, with the reason
    OUT.groups.csv           one row per group of images, where there are groups: see `groups`

Keys and reasons are escaped: see `tfp_flows.scoring.escaping`.
"""

import csv
import io
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tfp_flows.checks import extras
from tfp_flows.checks.errors import UserError
from tfp_flows.data import streams
from tfp_flows.scoring.escaping import escape

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
      key: Of the image; escaped.
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
    """A row of the table of errors: the key of an image, and in one line why it has no numbers; escaped."""

    key: str
    error: str


COLUMNS = ScoredImage._fields
ERROR_COLUMNS = FailedImage._fields
Q_COLUMNS = (*COLUMNS[:-1], "q_value", "verdict")  # with verdicts by q-values


class Counts(NamedTuple):
    """How many images were scored, and how many could not be read."""

    scored: int
    failed: int


def verdicts(p_values: np.ndarray | Sequence[float], alpha: float) -> np.ndarray:
    """The word for each p-value: "out" where p <= alpha, else "in".

    In float32, as p-values are: so do `Detector.predict` and `calibration.threshold`.
    """
    return np.where(np.asarray(p_values, np.float32) <= np.float32(alpha), FOREIGN, OWN)


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
    keys = [escape(item.key) for item in items]
    return [ScoredImage(key, *row) for key, *row in zip(keys, *columns, verdict, strict=True)]


def failed_image(item: streams.Item) -> FailedImage:
    """The row of an item that has no image."""
    return FailedImage(escape(item.key), escape(item.error))


def csv_text(rows: Iterable[Sequence[str | float | None]]) -> str:
    """Rows of either table as CSV; a number is the shortest text that reads back as the same float32."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(_text, row) for row in rows)
    return text.getvalue()


def _text(value: str | float | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return np.format_float_positional(np.float32(value), trim="0")


def check_out(out: str | os.PathLike) -> None:
    """Refuses what is no name of a table; where .parquet cannot be made, that is said now, not at the end.

    Raises:
      ScoringError: If it ends in neither .csv nor .parquet.
      UserError: If it ends in .parquet, and PyArrow is missing.
    """
    suffix = os.path.splitext(out)[1]
    if suffix not in (".csv", ".parquet"):
        raise ScoringError(f"`out`: {os.fspath(out)} must end in .csv or .parquet.")
    if suffix == ".parquet":
        table_schema()


def table_schema(columns: Sequence[str] = COLUMNS) -> "pyarrow.Schema":
    """`pyarrow.Schema` of the table as Parquet; raises `UserError` where pyarrow is not installed."""
    with extras.needed("parquet", "a .parquet table"):
        import pyarrow
    texts = ("key", "verdict")
    return pyarrow.schema([(c, pyarrow.string() if c in texts else pyarrow.float32()) for c in columns])
