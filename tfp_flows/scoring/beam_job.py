"""Scores a stream of images on Apache Beam into files.

OUT-00000-of-0000N.csv (or .parquet)   one row per image that could be read, in any order
OUT.errors.csv                         one row per image that could not, with the reason

Files appear when the job is done, not before.
"""

import contextlib
import dataclasses
import io
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam import typehints
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult, PipelineState

from tfp_flows import _start, runs
from tfp_flows.data import Preparation, streams
from tfp_flows.scoring import scorers, table
from tfp_flows.scoring.beam import NAMESPACE, ScoreImages, Scores
from tfp_flows.serving import exported_model

# Beam's DirectRunner first tries to download an executable (Prism) from GitHub and to run it, and then there
# is but one worker process. FnApiRunner is what it is without that.
_RUNNERS = {"DirectRunner": "FnApiRunner"}


@dataclasses.dataclass(frozen=True)
class Source:
    """A stream by its name.

    Attributes:
      name: As for `data.streams.stream`.
      data_dir: Folder of TFDS sets.
      split: Of a TFDS set.
      preparation: Likewise.
    """

    name: str
    data_dir: str | None = None
    split: str = "test"
    preparation: Preparation | None = None


class ReadImages(beam.PTransform):
    """Beginning of a pipeline -> PCollection of `data.streams.Item`, a `Source` read by all workers."""

    def __init__(self, source: Source, image_shape: Sequence[int]) -> None:
        """The source is listed and read by the workers, under the same paths."""
        super().__init__()
        self._source = source
        self._image_shape = tuple(image_shape)

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection:
        """See the class."""
        return (
            pbegin
            | beam.Create([self._source])
            | "List" >> beam.FlatMap(_pieces)
            | beam.Reshuffle()  # else one worker would read all that it listed
            | "Read" >> beam.ParDo(_ReadPiece(self._source, self._image_shape))
        )


def _pieces(source: Source) -> Iterator[streams.Piece]:
    return streams.pieces(source.name, source.data_dir, source.split)


class _ReadPiece(beam.DoFn):
    def __init__(self, source: Source, image_shape: tuple[int, ...]) -> None:
        self._source = source
        self._image_shape = image_shape
        self._read = Metrics.counter(NAMESPACE, "read")

    def process(self, piece: streams.Piece) -> Iterator[streams.Item]:
        source = self._source
        for item in streams.stream(
            source.name,
            self._image_shape,
            source.data_dir,
            source.split,
            piece=piece,
            preparation=source.preparation,
        ):
            self._read.inc()
            yield item


@dataclasses.dataclass(frozen=True)
class BeamJob:
    """A table of scores to be made.

    Attributes:
      model: Folder of an exported model.
      source: The images.
      out: Table to write, .csv or .parquet.
      alpha: Level of the verdict.
      batch_size: Images that the model runs on at once.
      num_shards: Files of the table; 1: `out` itself, 0: the runner decides.
      allow_unattainable: Whether to score where no p-value can be as small as `alpha`.
      trust: Whether to load whatever graph the model is; see `ExportedModel`.
    """

    model: str
    source: Source
    out: str
    alpha: float = 0.05
    batch_size: int = 128
    num_shards: int = 0
    allow_unattainable: bool = False
    trust: bool = False

    def run(self, runner: str, beam_args: str = "") -> table.Counts:
        """Runs the job to its end.

        Args:
          runner: Name of a runner, as Beam has it.
          beam_args: Further options for Beam, as on a command line.

        Returns:
          `scoring.Counts`.

        Raises:
          InUseError: If another job of this machine is writing the table.
          ScoringError: If the table is there already, an option makes no sense, the job fails, or the
            counters do not say that rows in = rows out + errors.
          ExportedModelError: If there is no exported model.
          DataError: If there are no such images.
          DetectorError: If `alpha` is not attainable.
        """
        with self._lock():
            return self._run(runner, beam_args)

    def _lock(self) -> contextlib.AbstractContextManager:
        """Keeps other jobs of this machine from writing the same table; elsewhere there are no locks."""
        if "://" in self.out:
            return contextlib.nullcontext()
        os.makedirs(os.path.dirname(self.out) or ".", exist_ok=True)
        return runs.locked(self.out, "out")

    def _run(self, runner: str, beam_args: str) -> table.Counts:
        self._refuse_existing()
        if not self.allow_unattainable:
            scorers.need_level_of_export(self.model, self.alpha)
        pipeline = _pipeline(runner, beam_args)
        shape = exported_model.image_shape(self.model)
        source = dataclasses.replace(self.source, preparation=exported_model.preparation(self.model))
        next(_pieces(source), None)  # a wrong name fails here, in one line
        found = (
            pipeline
            | "Images" >> ReadImages(source, shape)
            | "Score" >> ScoreImages(self.model, self.alpha, self.batch_size, self.trust)
        )
        self._write(found)
        return _counts(_run(pipeline, runner))

    def _refuse_existing(self) -> None:
        stem, ending = self._stem_and_ending()
        for match in FileSystems.match([self.out, f"{stem}-*-of-*{ending}"]):
            for file in match.metadata_list:
                raise table.ScoringError(f"`out`: {file.path} is there already; remove it to score anew.")

    def _stem_and_ending(self) -> tuple[str, str]:
        stem, ending = os.path.splitext(self.out)
        if ending not in (".csv", ".parquet"):
            raise table.ScoringError(f"`out`: {self.out} must end in .csv or .parquet.")
        return stem, ending

    def _write(self, found: Scores) -> None:
        stem, ending = self._stem_and_ending()
        where: dict[str, str | int] = dict(
            file_path_prefix=stem, file_name_suffix=ending, num_shards=self.num_shards
        )
        if self.num_shards == 1:
            where["shard_name_template"] = ""
        if ending == ".csv":
            _write_csv(found.scores, table.COLUMNS, "Table", **where)
        else:
            rows = found.scores | "Dicts" >> beam.Map(lambda row: row._asdict())
            rows | "Table" >> beam.io.WriteToParquet(schema=table.table_schema(), **where)
        errors: dict[str, str | int] = dict(
            file_path_prefix=f"{self.out}.errors.csv", num_shards=1, shard_name_template=""
        )
        _write_csv(found.errors, table.ERROR_COLUMNS, "Table of errors", **errors)


def _write_csv(rows: beam.PCollection, columns: tuple[str, ...], label: str, **where: str | int) -> None:
    lines = rows | f"{label} as text" >> beam.Map(_line)
    lines | label >> beam.io.WriteToText(header=_line(columns), **where)


@typehints.decorators.no_annotations  # for readers: to Beam a row of a schema is no sequence
def _line(row: Sequence[str | float | None]) -> str:
    return table.csv_text([row]).removesuffix("\n")


def _pipeline(runner: str, beam_args: str) -> beam.Pipeline:
    """An empty pipeline; argparse's page of help and Beam's lists of faults become one line."""
    try:
        arguments = [f"--runner={_RUNNERS.get(runner, runner)}", *shlex.split(beam_args)]
    except ValueError as error:
        raise table.ScoringError(f"`beam_args`: {str(error).lower()} in {beam_args!r}") from error
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = PipelineOptions(arguments)
            known = options.get_all_options()
            unknown = options.get_all_options(retain_unknown_options=True).keys() - known.keys()
    except SystemExit as error:
        reason = said.getvalue().strip().splitlines()[-1:] or ["not understood"]
        raise table.ScoringError(f"`beam_args`: {reason[0].split('error: ')[-1]}") from error
    if unknown and runner in _RUNNERS:  # other runners may have options that Beam's Python does not know
        raise table.ScoringError(f"`beam_args`: {runner} has no option {', '.join(sorted(unknown))}.")
    try:
        return beam.Pipeline(options=options)
    except ValueError as error:
        raise table.ScoringError(f"`runner={runner}`: {' '.join(str(error).split())}") from error


def _run(pipeline: beam.Pipeline, runner: str) -> PipelineResult:
    """The finished pipeline's result; whatever a runner or a worker raised becomes one line."""
    log = _log_of_workers() if runner in _RUNNERS else contextlib.nullcontext("")
    with log as where:
        try:
            result = pipeline.run()
            state = result.wait_until_finish()
        except Exception as error:  # runners raise what they like
            raise table.ScoringError(f"`runner={runner}`: {_last_line(error)}{where}") from error
    if state != PipelineState.DONE:
        raise table.ScoringError(f"`runner={runner}`: the job ended as {state}.")
    return result


@contextlib.contextmanager
def _log_of_workers() -> Iterator[str]:
    """Sends stderr, which the runner's worker processes inherit, to a file that is kept after an error.

    Yields:
      Text that says where it is, for the error.
    """
    file = tempfile.NamedTemporaryFile(prefix="beam-", suffix=".log", delete=False)
    try:
        with file, _start.stderr_to(file):
            yield f" (the workers' log: {file.name})"
    except table.ScoringError:
        raise
    except BaseException:
        os.unlink(file.name)
        raise
    else:
        os.unlink(file.name)


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _counts(result: PipelineResult) -> table.Counts:
    """`scoring.Counts` from the counters of a finished job."""
    counters = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    found = {counter.key.metric.name: counter.result or 0 for counter in counters}
    if not found:
        raise table.ScoringError(
            "the tables are written, but the runner counted no images: count their rows."
        )
    read, scored, failed = (found.get(name, 0) for name in ("read", "scored", "failed"))
    if read != scored + failed:
        raise table.ScoringError(
            f"the runner counted {read} images read, but {scored} scored and {failed} failed."
        )
    return table.Counts(scored, failed)
