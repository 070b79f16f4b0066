r"""Fits a detector of foreign images to a trained model, calibrates and saves it.

    python -m tfp_flows.detect --run=runs/glow_fashion_mnist --detector=input_complexity \
        --out=runs/glow_fashion_mnist/detector --data_dir=DIR

It is fitted to the validation images of the run's own data set and calibrated with its calibration images:
neither was trained on. What a score asks without the model is fitted to training images: all that
foreign_patches asks, and texture and layout of the default. No other image is seen. --calibrate_on=NAME
calibrates with all images of another set instead, of the same kind, which the model must not have seen.
What it was trained on all the same is left out, and said, and so is where the run's images are no longer
those that it was trained on. Nothing is scored where the images are too few for a p-value of --alpha, unless
--allow_unattainable. At the end it says how many false alarms to expect, and how sure that is: see
docs/many_images.md. Of a run of a table the same is done with rows; the strangest test rows are explained.
`tfp_flows.detectors.load` reads the folder.
"""

import json
from typing import Any

from absl import flags

from tfp_flows import commands, data, detectors, numerics, runs, tables
from tfp_flows.checks.paths import check_path
from tfp_flows.detectors.names import DEFAULT, NAMES, check_number_of_models, check_settings

FLAGS = flags.FLAGS
GROUPS = {  # of --help
    commands.FIRST: ("run", "detector", "out", "data_dir", "alpha", "max_images", "set", "with"),
    "data": ("calibrate_on", "dataset", "download", "skip_unreadable"),
    "machine": ("parts", *commands.MEMORY),
}


def define_flags() -> None:
    """Defines the flags of the command."""
    commands.define_common_flags()
    flags.DEFINE_enum("detector", DEFAULT, NAMES, "Name of the score.")
    flags.DEFINE_string("out", None, "Folder to save the detector to.")
    flags.DEFINE_list("with", [], "Further runs: an ensemble's other members, or a ratio's backgrounds.")
    flags.DEFINE_multi_string(
        "set", [], "A setting of the detector as NAME=VALUE, such as compressor=jpegxl."
    )
    commands.define_moved_data_flag()
    commands.define_skip_unreadable_flag()
    commands.define_parts_flag()
    commands.define_memory_flags()
    flags.DEFINE_integer(
        "max_images", None, "Images to fit to, and to calibrate with: fixed random samples.", lower_bound=2
    )
    flags.DEFINE_string(
        "calibrate_on", None, f"Calibrate with all images of this set instead: {commands.DATASET_HELP}"
    )
    flags.DEFINE_float("alpha", 0.05, "Level whose threshold is said; it must be attainable.")
    commands.define_unattainable_flag()
    flags.mark_flags_as_required(["out"])


def main() -> None:
    """Fits, calibrates, saves."""
    data.storage.choose(FLAGS.memory_limit_mib, FLAGS.cache_dir)
    detectors.description.check_out(check_path(FLAGS.out, "out"))
    detectors.calibration.rank(FLAGS.alpha, 1)  # a level that is none is refused before anything else
    members = [runs.Run(path) for path in [FLAGS.run, *(FLAGS["with"].value or [])]]
    if members[0].spec().is_of_tables:
        _detect_in_tables(members)
        return
    spec = members[0].with_data(FLAGS.dataset, FLAGS.skip_unreadable)
    settings = dict(_setting(text) for text in FLAGS.set)
    check_settings(FLAGS.detector, settings)
    where: dict[str, Any] = dict(data_dir=FLAGS.data_dir, download=FLAGS.download)
    detectors.check_divisions(members)
    check_number_of_models(FLAGS.detector, len(members))
    data.check_there([name for name in (spec.dataset, FLAGS.calibrate_on) if name], **where)
    numerics.parts.choose(FLAGS.parts)  # from here on with TensorFlow
    detector = detectors.of_runs(FLAGS.detector, members, settings)
    runs.warn_of_changed_images(members[0], spec, **where)
    used = detectors.fit_and_calibrate(
        detector,
        spec,
        **where,
        max_images=FLAGS.max_images,
        calibrate_on=FLAGS.calibrate_on,
        alpha=None if FLAGS.allow_unattainable else FLAGS.alpha,
        trained_on=[member.trained_on() for member in members],
        progress=FLAGS.progress,
    )
    detector.save(FLAGS.out)
    print(summary(detector, used.fit, FLAGS.alpha, FLAGS.out, _of_how_many(used)))
    print(detectors.coverage.expectations(used.calibration))


def _detect_in_tables(members: list[runs.Run]) -> None:
    """Does it with the rows of a table."""
    commands.refuse_flags(tables.OF_IMAGES["detect"], f"is for images, and {FLAGS.run} is of a table")
    spec = tables.sets.with_dataset(members[0], FLAGS.dataset, FLAGS.skip_unreadable)
    settings = dict(_setting(text) for text in FLAGS.set)
    check_settings(FLAGS.detector, settings)
    check_number_of_models(FLAGS.detector, len(members))
    if any(member.spec().columns != spec.columns for member in members):
        raise detectors.DetectorError("--with: these are runs of tables with other columns.")
    parts = tables.sets.own(spec)
    other = tables.sets.others(spec, [FLAGS.calibrate_on]) if FLAGS.calibrate_on else [None]
    if not other:
        raise detectors.DetectorError(f"--calibrate_on: the model was trained on rows of {spec.dataset}.")
    numerics.parts.choose(1)  # from here on with TensorFlow
    detector = detectors.of_runs(FLAGS.detector, members, settings)
    runs.warn_of_changed_examples(members[0], spec, parts["train"].as_type(spec.model.dtype))
    used = tables.detecting.fit_and_calibrate(
        detector,
        spec,
        parts,
        max_rows=FLAGS.max_images,
        calibrate_on=other[0],
        alpha=None if FLAGS.allow_unattainable else FLAGS.alpha,
        trained_on=[member.trained_on() for member in members],
        progress=FLAGS.progress,
    )
    detector.save(FLAGS.out)
    print(summary(detector, used.fit, FLAGS.alpha, FLAGS.out, examples="rows"))
    print(detectors.coverage.expectations(used.calibration))
    print("The strangest test rows:")
    print("\n".join(tables.detecting.explained(detector, parts["test"], FLAGS.alpha)))


def _of_how_many(used: "detectors.Used") -> str:
    """Says of what samples were taken, and what else was looked at; "" where there is nothing to say."""
    found = ""
    if used.training:
        found = f"What it asks without the model was fitted to {used.training:,} training images.\n"
    if (used.fit, used.calibration) == (used.fit_total, used.calibration_total):
        return found
    return (
        f"Those are fixed random samples of {used.fit_total:,} {used.fit_split} and "
        f"{used.calibration_total:,} calibration images.\n{found}"
    )


def _setting(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise detectors.DetectorError(f"--set: {text!r} is not NAME=VALUE.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def summary(
    detector: "detectors.Detector",
    num_fit: int,
    alpha: float,
    out: str,
    of_how_many: str = "",
    examples: str = "images",
) -> str:
    """What was made, in two lines.

    Args:
      detector: Fitted and calibrated.
      num_fit: Images that it was fitted to.
      alpha: Level whose threshold is said.
      out: Where it was saved.
      of_how_many: A further line, in the middle.
      examples: What it judges.
    """
    scores = detector.conformal.known_scores()
    export = "It runs in a graph and can be exported" if detector.exportable else "It cannot be exported"
    return (
        f"{detector.name}: fitted to {num_fit:,} {examples}, calibrated with {len(scores):,}; "
        f"{detectors.calibration.level_text(alpha, scores)}.\n{of_how_many}{export}. Saved to {out}."
    )


if __name__ == "__main__":
    define_flags()
    commands.run(main, GROUPS)
