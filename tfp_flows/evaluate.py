r"""Compares the likelihoods that a trained model gives to data sets.

    python -m tfp_flows.evaluate --run=runs/quickstart --datasets=digits@resize=28,noise

The model's own test images come first and some of its training images second. A folder or an archive without
test images of its own, which the model was not trained on, is scored as a whole. Writes
RUN/evaluation/bits_per_dim.csv, likelihoods.png, samples.png, summary.png, log_probs.npz and, of a flow,
inverse.json. Where RUN/detector is a detector of this model, its AUROCs stand beside those of -log p.

A run of a table is compared with tables, whose columns are found by the header. It writes nats.csv,
likelihoods.png, log_probs.npz and samples.csv.
"""

import dataclasses
from typing import Any

from absl import flags

from tfp_flows import commands, data, evaluation, numerics, reporting, runs, tables
from tfp_flows.models import registry

FLAGS = flags.FLAGS
FIRST = ("run", "datasets", "data_dir", "batch_size", "max_images", "num_samples")
DATA = ("dataset", "download", "skip_unreadable")


def define_flags() -> None:
    """Defines the flags of evaluation."""
    commands.define_common_flags()
    flags.DEFINE_list(
        "datasets", [], f"Data sets to compare with; of a run of a table, tables: {commands.DATASET_HELP}"
    )
    flags.DEFINE_integer("batch_size", 256, "Images scored at once.", lower_bound=1)
    flags.DEFINE_integer(
        "max_images", None, "Score no more images of a set than this, a fixed random sample.", lower_bound=2
    )
    flags.DEFINE_integer("num_samples", 64, "Images to draw for samples.png.", lower_bound=0)
    commands.define_temperature_flag()
    commands.define_moved_data_flag()
    commands.define_skip_unreadable_flag()
    commands.define_parts_flag()
    commands.define_memory_flags()
    commands.define_config_flags(*_protocol_classes().values())


def main() -> None:
    """Evaluates and prints the table."""
    data.storage.choose(FLAGS.memory_limit_mib, FLAGS.cache_dir)
    run = runs.Run(FLAGS.run)
    family = run.spec().family
    settings = registry.settings(family)
    commands.refuse_flags_of_others(family, _protocol_classes())
    if run.spec().is_of_tables:
        _evaluate_on_tables(run)
        return
    protocol: Any = commands.config_from_flags(settings.protocol_class)
    spec = run.with_data(FLAGS.dataset, FLAGS.skip_unreadable)
    where = dict(data_dir=FLAGS.data_dir, download=FLAGS.download)
    data.check_there([name for name in (spec.dataset, *FLAGS.datasets) if name], **where)
    numerics.parts.choose(FLAGS.parts)  # from here on with TensorFlow
    runs.warn_of_changed_images(run, spec, **where)
    sets = evaluation.load_sets(spec, FLAGS.datasets, **where, max_images=FLAGS.max_images)
    rows = evaluation.evaluate(
        run,
        sets,
        batch_size=FLAGS.batch_size,
        num_samples=FLAGS.num_samples,
        progress=FLAGS.progress,
        protocol=protocol,
        temperature=FLAGS.temperature,
    )
    print(evaluation.report(run, rows))
    told = dict(spec=spec, **where, progress=FLAGS.progress)
    print("\n".join(reporting.close(run, sets, rows, **told)))


def _evaluate_on_tables(run: runs.Run) -> None:
    """Evaluates a run of a table."""
    commands.refuse_flags(tables.OF_IMAGES["evaluate"], f"is for images, and {FLAGS.run} is of a table")
    spec = tables.sets.with_dataset(run, FLAGS.dataset, FLAGS.skip_unreadable)
    parts = tables.sets.own(spec)
    compared = tables.sets.others(spec, FLAGS.datasets)
    numerics.parts.choose(1)  # from here on with TensorFlow
    runs.warn_of_changed_examples(run, spec, parts["train"].as_type(spec.model.dtype))
    how = dict(max_rows=FLAGS.max_images, num_samples=FLAGS.num_samples, progress=FLAGS.progress)
    rows = tables.evaluating.evaluate(run, parts, compared, **how)
    print(tables.evaluating.report(run, rows))


def _groups() -> dict[str, tuple[str, ...]]:
    """The flags as `--help` groups them."""
    protocols = [f.name for each in _protocol_classes().values() for f in dataclasses.fields(each)]
    return {
        commands.FIRST: FIRST,
        "data": DATA,
        "estimate": tuple(dict.fromkeys(protocols)),
        "machine": ("parts", *commands.MEMORY),
    }


def _protocol_classes() -> dict[str, type]:
    return {name: registry.settings(name).protocol_class for name in registry.every_name()}


if __name__ == "__main__":
    define_flags()
    commands.run(main, _groups())
