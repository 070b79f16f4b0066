r"""Scores images of a folder, an archive, TFRecords or any other set with an exported model.

    python -m tfp_flows.score --model=exported --images=folder:PATH --out=scores.csv --alpha=0.05
    python -m tfp_flows.score --detector=detector --images=tfds:mnist --data_dir=DIR --out=scores.parquet
    python -m tfp_flows.score --model=exported --images=tfrecord:GLOB --out=scores.csv --runner=DirectRunner

One row per image: its key, log_prob, bits_per_dim and, with a detector, score, p_value and verdict ("out"
where p_value <= alpha). Pictures are prepared as those were that the model was trained on, where the name
has no operations of its own. Where no p-value can be that small, for want of calibration images, nothing is
scored. An image that cannot be read is a row of OUT.errors.csv, and the exit status is 3.

With --fdr=0.1 instead of --alpha there is a q_value too, and "out" is where q_value <= 0.1: of those called
out, 10 % at most are expected to be own images, however many are scored. The last pass makes it; OUT.part
has none. --group_by=folder writes OUT.groups.csv, a p-value a folder. See docs/many_images.md.

A job that was interrupted, or failed, leaves OUT.part, OUT.errors.part and OUT.progress.json, and says so.
The same command, with the same model, level and source, goes on with it: images may be added and removed in
between. OUT.lock keeps others from writing OUT. SIGTERM, SIGHUP and SIGINT end it: status 143, 129 or 130.

With --maps=DIR each image that is called out gets a picture DIR/KEY.png: the image beside itself under its
heat map; with --fdr at the end, for which the images are scored again. Keys are escaped in tables and names
of files: see tfp_flows.scoring.escaping and tfp_flows.scoring.maps.

With --runner the job runs on Apache Beam: the same rows, in any order, in files like
scores-00000-of-00004.csv; a job that was interrupted begins anew.
"""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator

from absl import flags

from tfp_flows import commands, data, detectors, scoring, serving
from tfp_flows.checks import sizes
from tfp_flows.checks.errors import UserError

FLAGS = flags.FLAGS
TABLES = (".csv", ".npy", ".npz")  # of vectors, for which these flags mean nothing:
OF_IMAGES = ("fdr", "group_by", "runner", "beam_args", "num_shards", "maps", "maps_of", "data_dir", "split")
KINDS_WITH_FOLDERS = ("folder", "tfrecord")
WITHOUT_SPLITS = ("folder", "npz", "tfrecord")
GROUPS = {  # of --help
    commands.FIRST: ("model", "detector", "images", "out", "alpha", "data_dir", "batch_size"),
    "verdicts": ("fdr", "storey", "group_by", "allow_unattainable"),
    "pictures": ("maps", "maps_of"),
    "beam": ("runner", "beam_args", "num_shards"),
}
SOME_FAILED = 3  # exit status: every image was read or is among the errors, and some are


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("model", None, "Folder of an exported model, from tfp_flows.export.")
    flags.DEFINE_string("detector", None, "Instead: folder of a detector, from tfp_flows.detect.")
    flags.DEFINE_string("images", None, f"Images to score: {commands.DATASET_HELP}")
    flags.DEFINE_string("out", None, "Table to write: .csv or .parquet.")
    flags.DEFINE_float("alpha", 0.05, "p-value at or below which it is out.")
    flags.DEFINE_float("fdr", None, "Instead of --alpha: q-value up to which it is out.")
    flags.DEFINE_bool("storey", False, "With --fdr: finds more.")
    flags.DEFINE_enum("group_by", None, ["folder"], "A p-value a folder: OUT.groups.csv.")
    commands.define_unattainable_flag()
    flags.DEFINE_integer("batch_size", 128, "Images scored at once.", lower_bound=1)
    flags.DEFINE_bool(
        "trust", False, "Load a graph that may read or write files or run code: only if you know the sender."
    )
    flags.DEFINE_string("data_dir", None, "Folder of data sets in TFDS layout.")
    flags.DEFINE_string("split", "test", "Split of a set that has splits by name.")
    flags.DEFINE_bool("progress", True, "Show a progress bar.")
    flags.DEFINE_string("runner", None, "Run on Apache Beam: DirectRunner, FlinkRunner, DataflowRunner, ...")
    flags.DEFINE_string("beam_args", "", "With --runner: options for Beam, as one string.")
    flags.DEFINE_integer(
        "num_shards",
        0,
        "With --runner: files of the table; 1: OUT alone, 0: the runner decides.",
        lower_bound=0,
    )
    flags.DEFINE_string(
        "maps", None, "Folder for pictures of heat maps: where in an image its score is from."
    )
    flags.DEFINE_enum("maps_of", "out", ["out", "all"], "With --maps: of images called out, or of all.")
    flags.mark_flags_as_required(["images", "out"])
    flags.mark_flags_as_mutual_exclusive(["model", "detector"], required=True)


def main() -> None:
    """Scores, and says how many."""
    if not 0 < FLAGS.alpha < 1:
        raise scoring.ScoringError(f"--alpha must be in (0, 1), got {FLAGS.alpha}.")
    if FLAGS.fdr is not None:
        if not 0 < FLAGS.fdr < 1:
            raise scoring.ScoringError(f"--fdr must be in (0, 1), got {FLAGS.fdr}.")
        if FLAGS["alpha"].present:
            raise scoring.ScoringError("--fdr and --alpha: verdicts are by one of the two; leave one out.")
    elif FLAGS.storey:
        raise scoring.ScoringError("--storey is for q-values: give --fdr too.")
    scoring.check_out(FLAGS.out)
    table = data.table_name(FLAGS.images)
    if (table or FLAGS.images.lower().endswith(TABLES)) and _of_vectors():
        _score_vectors(data.names.take_apart(table).source.argument if table else FLAGS.images)
        return
    if FLAGS["split"].present and data.names.take_apart(FLAGS.images).source.kind in WITHOUT_SPLITS:
        raise scoring.ScoringError(
            f"--split is for sets that have splits by name; {FLAGS.images} is scored whole."
        )
    if not FLAGS.maps:
        commands.refuse_flags(["maps_of"], "is for heat maps: give --maps too")
    data.check_stream(FLAGS.images, FLAGS.data_dir, FLAGS.split)
    if FLAGS.group_by and data.names.take_apart(FLAGS.images).source.kind not in KINDS_WITH_FOLDERS:
        raise scoring.ScoringError(
            f"--group_by=folder: images of {FLAGS.images} have no folders; take folder:PATH, or "
            f"tfrecord:GLOB whose records have paths as their keys."
        )
    with _last_words():
        counts, ending = _score_here() if FLAGS.runner is None else (_score_on_beam(), None)
    others = ""
    if FLAGS.runner is None:
        with contextlib.suppress(data.DataError):  # such as a folder that is gone by now
            left_alone = data.streams.left_alone(FLAGS.images)
            others = f" ({left_alone})" if left_alone else ""
    print(f"{counts.scored:,} images scored, {counts.failed:,} could not be read: {FLAGS.out}{others}")
    for line in ending.lines() if ending else []:
        print(line)
    if counts.failed:
        print(f"The reasons are in {FLAGS.out}.errors.csv.")
        sys.exit(SOME_FAILED)


def _of_vectors() -> bool:
    """Whether what scores is of vectors."""
    if FLAGS.model:
        return serving.are_vectors(FLAGS.model)
    return detectors.description.are_vectors(FLAGS.detector)


def _score_vectors(path: str) -> None:
    """Scores the rows of a table by an export or a detector of vectors."""
    judge = FLAGS.model or FLAGS.detector
    for name in OF_IMAGES:
        if FLAGS[name].present:
            raise scoring.ScoringError(f"--{name} is for images, and {judge} is of vectors.")
    count = scoring.score_table(judge, path, FLAGS.out, FLAGS.alpha, FLAGS.allow_unattainable, FLAGS.trust)
    print(f"{count:,} rows scored: {FLAGS.out}")


@contextlib.contextmanager
def _last_words() -> Iterator[None]:
    """Has whatever ends a job say, behind its own words, which files are left and what for."""
    try:
        yield
    except (UserError, OSError, KeyboardInterrupt) as error:
        remark = " ".join(getattr(error, "__notes__", ()))
        if not remark:
            raise
        if isinstance(error, UserError):
            raise scoring.ScoringError(f"{str(error).removesuffix('.')}. {remark}") from error
        if isinstance(error, OSError):
            reason = f"{error.filename or 'file'}: {error.strerror or error}"
            raise scoring.ScoringError(f"{reason}. {remark}") from error
        print(remark, file=sys.stderr)
        raise


def _score_here() -> "tuple[scoring.Counts, scoring.Ending]":
    """Scores in this process."""
    if FLAGS["beam_args"].present or FLAGS["num_shards"].present:
        raise scoring.ScoringError("--beam_args and --num_shards are for jobs on Beam: give --runner too.")
    path = FLAGS.model or FLAGS.detector
    digest = scoring.digest(path)
    level = None if FLAGS.allow_unattainable or FLAGS.fdr is not None else FLAGS.alpha
    scorer, preparation = (
        scoring.of_export(path, FLAGS.batch_size, level, FLAGS.trust)
        if FLAGS.model
        else scoring.of_detector(path, level, FLAGS.trust)
    )
    sizes.check_batch_size(FLAGS.batch_size, preparation.image_shape)
    ending = _ending(scorer)
    images = data.names.with_operations(FLAGS.images, preparation.text)
    job = scoring.Job(_source(images, FLAGS.data_dir, FLAGS.split), digest, FLAGS.alpha)
    open_stream = functools.partial(
        data.streams.stream,
        FLAGS.images,
        preparation.image_shape,
        FLAGS.data_dir,
        FLAGS.split,
        preparation=preparation,
    )
    maps = None
    if FLAGS.maps is not None:
        maps = scoring.MapFiles(scorer, FLAGS.maps, FLAGS.maps_of, digest)
    counts = scoring.score_stream(
        scorer, open_stream, FLAGS.out, job, FLAGS.batch_size, FLAGS.progress, maps, ending
    )
    return counts, ending


def _ending(scorer: "scoring.MappingScorer") -> "scoring.Ending":
    """What is made of all rows at the end; what cannot be is refused before anything is scored."""
    wanted = "--fdr" if FLAGS.fdr is not None else "--group_by" if FLAGS.group_by is not None else None
    if wanted is None:
        return scoring.Ending(FLAGS.alpha)
    path, count = FLAGS.model or FLAGS.detector, scorer.num_calibration
    if not scorer.gives_p_values:
        raise scoring.ScoringError(f"{wanted} needs p-values, and {path} gives none: calibrate a detector.")
    if FLAGS.fdr is not None and count is not None and not (FLAGS.allow_unattainable or FLAGS.storey):
        detectors.coverage.need_fdr(FLAGS.fdr, count)
    return scoring.Ending(FLAGS.alpha, FLAGS.fdr, FLAGS.storey, FLAGS.group_by, count)


def _source(images: str, data_dir: str | None, split: str) -> str:
    """What is scored, the same however it is spelled and wherever the command is started."""
    name = data.names.take_apart(images)
    kind, argument, _ = name.identity
    where = "" if data_dir is None or kind != "tfds" else f" in {os.path.realpath(data_dir)}"
    which = "" if kind in data.names.PATH_KINDS else f" ({split})"
    pieces = [f"{kind}:{argument}", *name.pieces]
    return f"{'@'.join(pieces)}{which}{where}{data.streams.contents(name.source)}"


def _score_on_beam() -> "scoring.Counts":
    """Scores on a runner of Apache Beam."""
    if FLAGS.maps is not None:
        raise scoring.ScoringError(
            "--maps: not with --runner; score the images whose maps you want without."
        )
    if FLAGS.fdr is not None or FLAGS.group_by is not None:
        wanted = "--fdr" if FLAGS.fdr is not None else "--group_by"
        stem, ending = os.path.splitext(FLAGS.out)
        raise scoring.ScoringError(
            f"{wanted}: not with --runner; q-values need all rows: when the job is done without it, "
            f"tfp_flows.scoring.select_in_tables('{stem}-*-of-*{ending}', 'selected{ending}') adds them."
        )
    if FLAGS.detector:
        raise scoring.ScoringError("--runner: export the detector with tfp_flows.export, and give --model.")
    try:
        from tfp_flows.scoring import beam_job  # here, as Beam is an extra
    except ImportError as error:
        reason = f'--runner: {error}; Apache Beam comes with pip install "tfp-flows[beam]".'
        raise scoring.ScoringError(reason) from error
    source = beam_job.Source(FLAGS.images, FLAGS.data_dir, FLAGS.split)
    job = beam_job.BeamJob(
        FLAGS.model,
        source,
        FLAGS.out,
        FLAGS.alpha,
        FLAGS.batch_size,
        FLAGS.num_shards,
        FLAGS.allow_unattainable,
        FLAGS.trust,
    )
    return job.run(FLAGS.runner, FLAGS.beam_args)


if __name__ == "__main__":
    define_flags()
    commands.run(main, GROUPS)
