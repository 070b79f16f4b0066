r"""Trains a model and, with --evaluate_on, judges it.

    python -m tfp_flows.train --flagfile=flagfiles/quickstart.flags

The same command again resumes a run that was interrupted; in a resumed run only --steps may grow. Without
--steps it stops when three validations, one every 100 steps, bring nothing more, and keeps the best.
A table of numbers, --dataset=points.csv, is fitted with a flow over vectors: see docs/vectors.md.
"""

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from tfp_flows import commands, data, evaluation, numerics, reporting, runs, tables, training
from tfp_flows.checks.errors import UserError
from tfp_flows.detectors.names import DEFAULT
from tfp_flows.models import registry
from tfp_flows.training import command_flags
from tfp_flows.training.command_flags import CODE_SIZE, NO_DETECTOR, OF_TABLES

if TYPE_CHECKING:
    import tensorflow as tf

FLAGS = flags.FLAGS
ALPHA = 0.05  # of the detector at the end, as `reporting` has it
PATIENCE, VALIDATE_EVERY = 3, 100  # where no flag says how long to train
MOST_VALIDATION_IMAGES = 5000  # of a large set a fixed sample, so that validations take no longer


def main(flag_names: list[str]) -> None:
    """Trains, then evaluates; where another host is lost, starts again."""
    table = data.table_name(FLAGS.dataset)
    if table:
        _train_on_table(table, flag_names)
        return
    _check_of_images()
    run = runs.Run(FLAGS.run)
    _choose_end(run.spec().training if run.exists() else None)
    asked = _Asked.by_flags()
    try:
        parts_per_replica = 1
        if FLAGS.parts or FLAGS.distribute == "none":
            parts_per_replica = numerics.parts.choose(FLAGS.parts, FLAGS.batch_size)
        _train(asked, flag_names, training.strategies.make_strategy(FLAGS.distribute), parts_per_replica)
    except training.strategies.HostLost as error:
        training.strategies.start_again(error, FLAGS.max_restarts)


def _check_of_images() -> None:
    """Refuses what means nothing for images."""
    if FLAGS.family == registry.VECTORS:
        raise UserError(f"--family={FLAGS.family} is for tables, and {FLAGS.dataset} holds images.")
    commands.refuse_flags(OF_TABLES, f"is for tables, and {FLAGS.dataset} holds images")


def _train_on_table(name: str, flag_names: list[str]) -> None:
    """Fits a flow over vectors to a table, and judges it."""
    if FLAGS["family"].present and FLAGS.family != registry.VECTORS:
        raise UserError(f"--family={FLAGS.family} is for images, and {FLAGS.dataset} is a table.")
    FLAGS["family"].value = registry.VECTORS
    commands.refuse_flags(tables.OF_IMAGES["train"], f"is for images, and {FLAGS.dataset} is a table")
    commands.refuse_flags_of_others(FLAGS.family, command_flags.config_classes())
    run, skip = runs.Run(FLAGS.run), FLAGS.skip_unreadable
    read = tables.read(run, name, FLAGS.columns, FLAGS.ignore, skip)
    commands.default_flags(tables.defaults(len(read["train"])))
    config: Any = commands.config_from_flags(training.TrainingConfig)
    model: Any = commands.config_from_flags(registry.settings(FLAGS.family).config_class)
    training.check_parts(FLAGS.batch_size, 1, FLAGS.parts)
    if config.init_from and not run.exists():
        _check_begin(config.init_from)
    found = tables.prepare(run, name, read, model, config, skip_unreadable=skip, compared=FLAGS.evaluate_on)
    judge = FLAGS.detector if found.compared and FLAGS.detector != NO_DETECTOR else ""
    print("\n".join(tables.sets.overview(found.parts, found.compared, ALPHA if judge else None)))
    parts = numerics.parts.choose(FLAGS.parts, FLAGS.batch_size)  # from here on with TensorFlow
    unsaid = {*tables.OF_IMAGES["train"], "pictures"}
    names = [each for each in command_flags.of_family(FLAGS.family, flag_names) if each not in unsaid]
    text = commands.flags_text(names)
    outcome = tables.train(found, text, FLAGS.progress, parts, FLAGS.allow_changed_images)
    _leave_if_interrupted(outcome)
    print(f"Trained to step {outcome.step:,}; the run is in {run.folder}.")
    if outcome.improving:
        print(f"It was still improving: the same command with --steps={2 * outcome.step} goes on.")
    print(tables.judge(found, judge, FLAGS.progress))


def _choose_end(own: "dict[str, Any] | None") -> None:
    """Where nothing says how long to train: as long as it helps, within the default of `--steps`.

    Args:
      own: The settings of a run that is there, which goes on as it began; None for a new one.
    """
    if own is not None:
        commands.default_flags(
            {name: own[name] for name in ("early_stopping", "validate_every") if name in own}
        )
    elif not any(FLAGS[name].present for name in ("steps", "early_stopping", "validate_every")):
        FLAGS["early_stopping"].value, FLAGS["validate_every"].value = PATIENCE, VALIDATE_EVERY


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What the flags ask for.

    Attributes:
      run: The run.
      config: How it is trained.
      model: The family's config.
      data_dir: Folder of data sets in TFDS layout, where it is now, or None.
    """

    run: "runs.Run"
    config: "training.TrainingConfig"
    model: Any
    data_dir: str | None

    @classmethod
    def by_flags(cls) -> "_Asked":
        """Refuses what can be refused before TensorFlow is imported, and before any image is read."""
        data.storage.choose(FLAGS.memory_limit_mib, FLAGS.cache_dir)
        config = commands.config_from_flags(training.TrainingConfig)
        commands.refuse_flags_of_others(FLAGS.family, command_flags.config_classes())
        _check_condition(config)
        run = runs.Run(FLAGS.run)
        run.check_folder()
        config_class = registry.settings(FLAGS.family).config_class
        _keep_meaning(run, config_class)
        model: Any = commands.config_from_flags(config_class)
        data_dir = FLAGS.data_dir and run.find_folder(FLAGS.data_dir)
        training.check_parts(FLAGS.batch_size, 1, FLAGS.parts)
        where: dict[str, Any] = dict(data_dir=data_dir, download=FLAGS.download)
        data.check_there(map(run.find, [FLAGS.dataset, *_outliers(config)]), split="train", **where)
        data.check_there(map(run.find, FLAGS.evaluate_on or []), **where)
        if config.init_from and not run.exists():  # a run that goes on does without
            _check_begin(config.init_from)
        if FLAGS.distribute == "multi_worker":
            training.check_tf_config(os.environ.get("TF_CONFIG"))
        return cls(run, config, model, data_dir)


def _check_begin(init_from: str) -> None:
    """Refuses a run to start from that is none."""
    try:
        runs.Run(init_from).spec()
    except runs.RunError as error:
        raise runs.RunError(str(error).replace("`run`", "`init_from`", 1)) from error


def _outliers(config: "training.TrainingConfig") -> list[str]:
    """The names of the outlier sets."""
    return [name for name in config.outlier_dataset.split("+") if name]


@dataclasses.dataclass(frozen=True)
class _Read:
    """What a training was given, once it is read.

    Attributes:
      train: Images to train on.
      validation: Images to validate on.
      outliers: Images to be made less likely, or None.
      spec: What the run says of itself.
      located: The same with its data where they are now, if the run or its data have been moved.
      sets: What is judged at the end, the run's own first; [] for no judgement.
      source: `data_dir` and `download` of `data.load`.
      overview: What was found, in lines.
    """

    train: "data.ImageSet"
    validation: "data.ImageSet"
    outliers: "data.Array | None"
    spec: "runs.RunSpec"
    located: "runs.RunSpec"
    sets: "list[data.ImageSet]"
    source: dict[str, Any]
    overview: list[str]

    @classmethod
    def of(cls, asked: _Asked) -> "_Read":
        """Reads all before training, so that a mistake in a name shows now and not at the end."""
        run = asked.run
        division = run.spec().division if run.exists() else data.DIVISION
        source: dict[str, Any] = dict(data_dir=asked.data_dir, download=FLAGS.download)
        where = {**source, "division": division, "skip_unreadable": FLAGS.skip_unreadable}
        dataset = run.find(FLAGS.dataset)
        train = data.load(dataset, "train", **where)
        validation = data.load(dataset, "validation", max_images=MOST_VALIDATION_IMAGES, **where)
        outliers = _load_outliers(
            [run.find(name) for name in _outliers(asked.config)], train.image_shape, where
        )
        spec = _spec(asked, train, dataset, where)
        others = [run.find(name) for name in FLAGS.evaluate_on or []]
        located = dataclasses.replace(spec, dataset=dataset)
        sets = evaluation.load_sets(located, others, **source) if others or FLAGS.report else []
        judges = FLAGS.report or (bool(sets) and FLAGS.detector != NO_DETECTOR)
        overview = _overview(located, [train, validation], sets, where, ALPHA if judges else None)
        if spec.classes is not None:
            validation = spec.classes.only(validation)
        return cls(train, validation, outliers, spec, located, sets, source, overview)


def _spec(asked: _Asked, train: "data.ImageSet", dataset: str, where: Mapping[str, Any]) -> "runs.RunSpec":
    """What the run says of itself, before it is trained."""
    return runs.RunSpec(
        family=FLAGS.family,
        model=asked.model,
        training=dataclasses.asdict(asked.config),
        dataset=FLAGS.dataset,
        image_shape=train.image_shape,
        division=where["division"],
        skip_unreadable=FLAGS.skip_unreadable,
        means=data.contrast_means(dataset, **where),
        classes=data.Classes.of(train) if FLAGS.condition == "label" else None,
        code_size=(FLAGS.code_size or CODE_SIZE) if FLAGS.condition == "autoencoder" else 0,
        low_resolution=FLAGS.condition == "lowres",
    )


def _train(
    asked: _Asked, flag_names: list[str], strategy: "tf.distribute.Strategy", parts_per_replica: int
) -> None:
    """Reads, trains and judges; what is printed and judged is the chief's, where there are several hosts."""
    import tensorflow as tf  # here, so that --help does not wait for it

    run = asked.run
    run.named = (*FLAGS.evaluate_on, *([f"folder:{FLAGS.data_dir}/"] if FLAGS.data_dir else []))
    read = _Read.of(asked)
    is_chief = training.strategies.Hosts(strategy).is_chief
    if is_chief:
        print("\n".join(read.overview))
    tf.config.experimental.enable_op_determinism()  # so that a resumed run goes on to the bit on a GPU too
    classes = read.spec.classes
    outcome = training.train(
        run,
        read.spec,
        commands.flags_text(command_flags.of_family(FLAGS.family, flag_names)),
        read.train.images,
        read.validation.images,
        FLAGS.progress,
        read.outliers,
        strategy,
        parts_per_replica,
        FLAGS.allow_changed_images,
        _shown(read.spec, read.sets) if FLAGS.pictures else None,
        None if classes is None else classes.indices(read.train),
        None if classes is None else classes.indices(read.validation),
    )
    _leave_if_interrupted(outcome, is_chief)
    if is_chief:
        print(f"Trained to step {outcome.step:,}; the run is in {run.folder}.")
        if outcome.improving:
            print(f"It was still improving: the same command with --steps={2 * outcome.step} goes on.")
        _judge(run, read)


def _leave_if_interrupted(outcome: "training.Outcome", is_chief: bool = True) -> None:
    """Ends the process where a signal ended the training."""
    if not outcome.interrupted:
        return
    if is_chief:
        print(f"Interrupted at step {outcome.step:,}; the same command resumes.")
    sys.exit(commands.SIGNALLED + outcome.interrupted)


def _judge(run: "runs.Run", read: _Read) -> None:
    """What a training ends with: likelihoods, a report, a detector, the picture, what to type next."""
    if not read.sets:
        return
    rows = evaluation.evaluate(run, read.sets, progress=FLAGS.progress, temperature=FLAGS.temperature)
    print(evaluation.report(run, rows))
    told: dict[str, Any] = dict(spec=read.located, **read.source, progress=FLAGS.progress)
    reported = None
    if FLAGS.report:
        name = DEFAULT if FLAGS.detector == NO_DETECTOR else FLAGS.detector  # a report shows what one finds
        written = reporting.write(run, read.sets, rows, detector_name=name, overview=read.overview, **told)
        reported = written.found
        print("\n".join(written.lines))
        print(f"The report is {written.index}; its detector is in {written.detector}.")
    name = "" if FLAGS.detector == NO_DETECTOR else FLAGS.detector
    print("\n".join(reporting.close(run, read.sets, rows, detector_name=name, reported=reported, **told)))


def _keep_meaning(run: "runs.Run", config_class: type) -> None:
    """Flags whose default has changed are those of a run that is there, where no flag says another."""
    if not run.exists() or run.spec().family != FLAGS.family:
        return
    own = run.spec().model
    for name in getattr(config_class, "BEFORE", {}):
        if not FLAGS[name].present:
            FLAGS[name].value = getattr(own, name)


def _check_condition(config: "training.TrainingConfig") -> None:
    """Refuses what a model cannot be given, before any image is read."""
    registry.check_condition(FLAGS.family, FLAGS.condition)
    if FLAGS.code_size and FLAGS.condition != "autoencoder":
        raise UserError("`code_size` is for `condition=autoencoder`.")
    if config.inverse_penalty and (FLAGS.family != "glow" or FLAGS.condition != "none"):
        raise UserError("`inverse_penalty` is for `family=glow` without a condition.")
    for name in ("outlier_dataset", "outlier_kinds"):
        if FLAGS.condition == "label" and getattr(config, name):
            raise UserError(f"`{name}`: outliers have no labels: not with `condition=label`.")


def _overview(
    spec: "runs.RunSpec",
    own: "Sequence[data.ImageSet]",
    sets: "Sequence[data.ImageSet]",
    where: Mapping[str, Any],
    alpha: float | None,
) -> list[str]:
    """What was found, a line for each set, and whether at `alpha` anything can be called foreign."""
    calibration = data.load(spec.dataset, "calibration", **where)
    return reporting.overview([*own, calibration, *sets[:1]], sets[2:], spec.preparation.text, alpha)


def run(family: str = "glow") -> None:
    """The command, with `family` as the default of `--family`."""
    flag_names = command_flags.define_flags(family)
    commands.run(lambda: main(flag_names), command_flags.groups(flag_names))


def _shown(spec: "runs.RunSpec", sets: "Sequence[data.ImageSet]") -> "training.Shown":
    """What TensorBoard shows: the first of the foreign sets, and all settings."""
    values = {"family": spec.family, "dataset": spec.dataset, **dataclasses.asdict(spec.model)}
    values |= {**spec.training, "condition": FLAGS.condition}
    if len(sets) < 3:  # the run's own test and training images come first
        return training.Shown(settings=values)
    label = data.Labels([image_set.name for image_set in sets])(sets[2].name)
    return training.Shown(sets[2].images, label, values)


def _load_outliers(
    names: Sequence[str], image_shape: tuple[int, ...], where: Mapping[str, Any]
) -> "data.Array | None":
    """The training images of these sets as one array; None for no name."""
    if not names:
        return None
    sets = [data.load(name, "train", image_shape=image_shape, **where) for name in names]
    return data.concatenated([image_set.images for image_set in sets])


if __name__ == "__main__":
    run()
