r"""Trains a model and, with --evaluate_on, judges it.

    python -m tfp_flows.train --flagfile=flagfiles/quickstart.flags

The same command again resumes a run that was interrupted; in a resumed run only --steps may grow.
"""

import dataclasses
import sys

from absl import flags

from tfp_flows import checkpoint, cli, data, evaluation, families, training

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags of training and of every family; returns their names."""
    names = cli.define_common_flags()
    flags.DEFINE_enum("family", "glow", families.names(), "Family of the model.")
    flags.DEFINE_string("dataset", None, f"Images to train on (not constant or noise): {cli.DATASET_HELP}")
    flags.DEFINE_list("evaluate_on", [], "Data sets to compare with the test images at the end.")
    flags.mark_flag_as_required("dataset")
    configs = [families.family(name).config_class for name in families.names()]
    names += ["family", "dataset", "evaluate_on"]
    names += cli.define_config_flags(training.TrainingConfig, *configs)
    flags.adopt_module_key_flags(cli)  # so that --help shows them all
    return names


def main(flag_names):
    """Trains, then evaluates."""
    config = cli.config_from_flags(training.TrainingConfig)
    family = families.family(FLAGS.family)
    model_config = cli.config_from_flags(family.config_class)
    where = dict(data_dir=FLAGS.data_dir, download=FLAGS.download)
    train_set = data.load(FLAGS.dataset, "train", **where)
    validation_set = data.load(FLAGS.dataset, "validation", **where)
    spec = checkpoint.RunSpec(
        family=family.name,
        model=model_config,
        training=dataclasses.asdict(config),
        dataset=FLAGS.dataset,
        image_shape=train_set.image_shape,
    )
    # Before training, so that a mistake in a name shows now and not at the end.
    sets = FLAGS.evaluate_on and evaluation.load_sets(spec, FLAGS.evaluate_on, **where)
    run = checkpoint.Run(FLAGS.run)
    outcome = training.train(
        run,
        spec,
        cli.flags_text(flag_names),
        train_set.images,
        validation_set.images,
        FLAGS.progress,
    )
    if outcome.interrupted:
        print(f"Interrupted at step {outcome.step:,}; the same command resumes.")
        sys.exit(cli.INTERRUPTED)
    print(f"Trained to step {outcome.step:,}; the run is in {run.folder}.")
    if sets:
        rows = evaluation.evaluate(run, sets, progress=FLAGS.progress)
        print(evaluation.report(run, rows))


if __name__ == "__main__":
    FLAG_NAMES = define_flags()
    cli.run(
        lambda: main(FLAG_NAMES),
        errors=[ValueError],
    )
