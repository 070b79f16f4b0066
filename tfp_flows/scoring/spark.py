"""Scoring as a step of Apache Spark (`pip install "tfp-flows[spark]"`, and Java).

pictures = session.read.format("binaryFile").load("pictures/*.png")
found = tfp_flows.scoring.spark.score_images(pictures, "exported", key="path", image="content", alpha=0.01)
found.where("error is null")  # key, log_prob, bits_per_dim, score, p_value, verdict
found.where("error is not null")  # key, error

The twin of `scoring.beam.ScoreImages`: the same numbers, one row out for each row in.
"""

import functools
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from tfp_flows.checks import sizes
from tfp_flows.data import Preparation, streams
from tfp_flows.detectors import calibration
from tfp_flows.scoring import scorers, table
from tfp_flows.serving import exported_model

if TYPE_CHECKING:  # of an extra
    import pyarrow
    from pyspark.sql import DataFrame

SCHEMA = """key string, log_prob float, bits_per_dim float, score float, p_value float, verdict string, \
error string"""


class _Job(NamedTuple):
    """What a worker must know."""

    model: str
    alpha: float
    batch_size: int
    trust: bool
    preparation: Preparation
    digest: str


def score_images(
    frame: "DataFrame",
    model: str | os.PathLike,
    key: str = "key",
    image: str = "image",
    alpha: float = 0.05,
    batch_size: int = 128,
    trust: bool = False,
) -> "DataFrame":
    """Scores the pictures of a DataFrame of Spark, on its workers, by `DataFrame.mapInArrow`.

    A picture is prepared as those were that the model was trained on. One that cannot be decoded, or has
    another shape than the model wants, has an `error` in the place of its numbers. An image's numbers do not
    depend on which others are scored beside it: see `ExportedModel`; so rows that Spark computes twice,
    because a worker was lost, are the same rows.

    Each of Spark's Python processes loads the model once; it goes on with the next task
    (`spark.python.worker.reuse`, which is the default).

    Args:
      frame: With a column of keys (strings) and one of encoded pictures (binary).
      model: Folder of an exported model; workers read it under the same path.
      key: Name of the first.
      image: Name of the second.
      alpha: p-value at or below which the verdict is "out".
      batch_size: Images that the model runs on at once.
      trust: Whether to load whatever graph it is; see `ExportedModel`.

    Returns:
      A DataFrame of the columns `key` (escaped: `scoring.unescape`), `log_prob` (nats), `bits_per_dim`,
      `score`, `p_value`, `verdict`, `error`; as many rows as `frame` has. Nothing is computed yet.

    Raises:
      ExportedModelError: If the folder holds no exported model.
      ScoringError: If there is no such column, or alpha or batch_size makes no sense.
    """
    if not 0 < alpha < 1:
        raise table.ScoringError(f"`alpha` must be in (0, 1), got {alpha}.")
    for argument, name in (("key", key), ("image", image)):
        if name not in frame.columns:
            raise table.ScoringError(f"`{argument}`: there is no column {name!r}, only {frame.columns}.")
    shape = exported_model.image_shape(model)
    sizes.check_batch_size(batch_size, shape, error=table.ScoringError)
    count = exported_model.num_calibration(model)
    if count is not None:
        calibration.check_level(alpha, count)
    preparation = exported_model.preparation(model) or Preparation((), shape)
    job = _Job(str(model), alpha, batch_size, trust, preparation, scorers.digest(model))
    return frame.select(key, image).mapInArrow(functools.partial(_scored, job), SCHEMA)


def _scored(job: _Job, batches: Iterable["pyarrow.RecordBatch"]) -> Iterator["pyarrow.RecordBatch"]:
    """The rows of a partition's keys and pictures, in batches as the model takes them."""
    waiting: list[streams.Item] = []
    for batch in batches:
        failed: list[streams.Item] = []
        for key, picture in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            item = _item(key, picture, job.preparation)
            (failed if item.image is None else waiting).append(item)
            if len(waiting) == job.batch_size:
                yield _record_batch(_rows(job, waiting))
                waiting = []
        yield _record_batch([(row.key, *[None] * 5, row.error) for row in map(table.failed_image, failed)])
    if waiting:
        yield _record_batch(_rows(job, waiting))


def _item(key: str | None, picture: bytes | None, preparation: Preparation) -> streams.Item:
    if picture is None:
        return streams.Item(str(key), None, "there is no picture")
    decoded = streams.decode(str(key), bytes(picture), preparation.operations)
    return streams.with_shape(streams.finished(decoded, preparation), preparation.image_shape)


def _rows(job: _Job, items: list[streams.Item]) -> list[tuple]:
    scorer = _scorer(job.model, job.batch_size, job.trust, job.digest)
    return [(*row, None) for row in table.score_items(scorer, items, job.alpha)]


@functools.lru_cache(maxsize=1)
def _scorer(model: str, batch_size: int, trust: bool, digest: str) -> exported_model.ExportedModel:
    """The model, once a process; another export to the same folder is another model."""
    if scorers.digest(model) != digest:
        raise table.ScoringError(
            f"`model`: {model} is not the export with which this job began; begin it anew."
        )
    return exported_model.ExportedModel(model, batch_size, trust)


def _record_batch(rows: list[tuple]) -> "pyarrow.RecordBatch":
    import pyarrow

    schema = table.table_schema().append(pyarrow.field("error", pyarrow.string()))
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)
