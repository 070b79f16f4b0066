"""Scores a stream of images into a table, in bounded memory; an interrupted job goes on where it was.

OUT (.csv or .parquet)   one row per image that could be read
OUT.errors.csv           one row per image that could not, with the reason
OUT.groups.csv           one row per group of images, where there are groups

While the job is unfinished there are other files beside OUT: see `tfp_flows.scoring.journal`.
"""

import dataclasses
import itertools
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence

import tqdm

from tfp_flows import runs
from tfp_flows.data import streams
from tfp_flows.scoring.done import Done
from tfp_flows.scoring.ending import Ending
from tfp_flows.scoring.growing import Entry
from tfp_flows.scoring.journal import Journal
from tfp_flows.scoring.maps import MapFiles
from tfp_flows.scoring.table import Counts, Scorer, failed_image, score_items

_NAMED = 3  # images that a sentence names


@dataclasses.dataclass(frozen=True)
class Job:
    """What makes a job the same job when it is started again.

    Attributes:
      images: Name of the stream.
      model: What scores, as a string: a digest of its files, so that another model at the same path is
        another one.
      alpha: Level of the verdict.
    """

    images: str
    model: str
    alpha: float


def score_stream(
    scorer: Scorer,
    open_stream: Callable[[streams.Skip], Iterable[streams.Item]],
    out: str | os.PathLike,
    job: Job,
    batch_size: int = 128,
    progress: bool = True,
    maps: MapFiles | None = None,
    ending: Ending | None = None,
) -> Counts:
    """Scores every image of a stream.

    Rows in = rows out + errors, always. Each batch's rows are brought to the disk before the next batch; a
    job that goes on leaves out the images that have a row, by what they are and not by how many, so that
    images may be added and removed in between. A row whose image is gone stays, and a warning says so.

    Args:
      scorer: Function from uint8 `[B, H, W, C]` to a dict of arrays `[B]`: log_prob, bits_per_dim and, where
        there is a detector, score and p_value.
      open_stream: Function from a `data.streams.Skip` to an iterator of `data.streams.Item`, without those
        that are to be left out.
      out: Path of the table, .csv or .parquet.
      job: `Job`.
      batch_size: Images scored at once.
      progress: Whether to show a bar with images/s.
      maps: Pictures of heat maps to make besides, or None. Those of a batch are written before its rows; a
        job that goes on makes those that are not there. Where verdicts are by q-values, which are known when
        all is scored, they are made then, and the images are scored again for it.
      ending: What is made of all rows at the end: q-values, groups. What came of it is written there.

    Returns:
      `Counts` over the whole job.

    Raises:
      ScoringError: If another job wrote `out`, or it has another ending.
      InUseError: If another job is writing it.
      OSError: If it cannot be written.
      Exception: What the stream and the scorer raise. Any exception has a note (`__notes__`) that says which
        files are left and what for, where there are any.
    """
    ending = ending or Ending(job.alpha)
    journal = Journal(out, {**dataclasses.asdict(job), **ending.described()}, ending)
    by_q_values = ending.fdr is not None
    pathlib.Path(out).parent.mkdir(parents=True, exist_ok=True)
    with runs.locked(out, "out") as lock:
        done = journal.begin()
        if done is None:
            if maps and not by_q_values:  # else they were made before
                _missing(maps, scorer, open_stream, job.alpha, batch_size)
            return journal.counts
        again = len(done) > 0
        try:
            bar = tqdm.tqdm(unit="image", initial=len(done), disable=not progress, desc=job.images)
            with bar:
                for batch in _batches(open_stream(done), batch_size):
                    _score(scorer, batch, job.alpha, journal, lock, None if by_q_values else maps)
                    bar.update(len(batch))
            if len(done):
                warnings.warn(_vanished(journal, done, job.images), stacklevel=2)
            if maps and (again or by_q_values):
                found = journal.q_values()
                level = found.threshold if found else job.alpha
                _missing(maps, scorer, open_stream, level, batch_size)
            lock.check("out")
            journal.finish()
        except BaseException as error:
            remark = journal.pause()
            if remark:
                error.add_note(remark)
            raise
        return journal.counts


def _score(
    scorer: Scorer,
    batch: Sequence[streams.Item],
    alpha: float,
    journal: Journal,
    lock: runs.Lock,
    maps: MapFiles | None,
) -> None:
    good = [item for item in batch if item.image is not None]
    bad = [item for item in batch if item.image is None]
    rows = score_items(scorer, good, alpha) if good else []
    lock.check("out")
    if maps and good:
        maps.write(good, rows)
    journal.append(
        [Entry(row, item.record) for row, item in zip(rows, good, strict=True)],
        [Entry(failed_image(item), item.record) for item in bad],
    )


def _missing(
    maps: MapFiles,
    scorer: Scorer,
    open_stream: Callable[[streams.Skip], Iterable[streams.Item]],
    alpha: float,
    batch_size: int,
) -> None:
    """Makes the pictures that an earlier part of the job did not."""
    wanted = (i for i in open_stream(lambda identity: False) if i.image is not None and not maps.has(i.key))
    for batch in _batches(wanted, batch_size):
        maps.write(batch, score_items(scorer, batch, alpha))


def _vanished(journal: Journal, done: Done, images: str) -> str:
    count = len(done)
    keys = itertools.islice(journal.keys(done), _NAMED)
    return (
        f"{count:,} of the rows {'is' if count == 1 else 'are'} of images that were scored earlier and are "
        f"not in {images} any more: {', '.join(keys)}{', ...' if count > _NAMED else ''}."
    )


def _batches(items: Iterable[streams.Item], size: int) -> Iterator[list[streams.Item]]:
    batch: list[streams.Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
