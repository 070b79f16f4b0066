r"""Compares every detector on the same trained models, and writes one page.

    python -m analysis.detectors --runs=runs/glow_fashion_mnist,runs/pixelcnn_fashion_mnist \
        --in=fashion_mnist --out=mnist --data_dir=DIR --report=detectors_fashion_mnist \
        --ensemble=runs/small_0,runs/small_1 --backgrounds=runs/background_0.1,runs/background_0.3 \
        --outlier_exposed=runs/outlier_exposure

REPORT/index.html is self-contained; what it shows is also in REPORT/figures, REPORT/tables and
REPORT/results.json. Scores are cached in REPORT/cache: adding a detector, a run or a data set computes
nothing twice.
"""

import pathlib

from absl import flags

from analysis.errors import AnalysisError
from tfp_flows import commands, data, detectors, evaluation, runs

FLAGS = flags.FLAGS
ROLES = ("runs", "ensemble", "backgrounds", "outlier_exposed")


def define_flags() -> None:
    """Defines the flags of the comparison."""
    flags.DEFINE_list("runs", None, "Folders of trained models; every score that suits one is made of it.")
    flags.DEFINE_string("in", None, "The in-distribution set: what the models were trained on.")
    flags.DEFINE_list("out", None, f"Out-of-distribution sets: {commands.DATASET_HELP}")
    flags.DEFINE_string("report", None, "Folder to write to.")
    flags.DEFINE_list("ensemble", [], "Runs that differ in --seed alone, for WAIC.")
    flags.DEFINE_list("backgrounds", [], "Runs trained with --mutation_rate, for likelihood ratios.")
    flags.DEFINE_list("outlier_exposed", [], "Runs trained with --outlier_dataset or --outlier_kinds.")
    flags.DEFINE_bool("critics", True, "Train an ensemble of Wasserstein critics too.")
    flags.DEFINE_string("data_dir", None, "Folder of data sets in TFDS layout.")
    flags.DEFINE_bool("download", False, "Let TFDS download a data set that is not in --data_dir.")
    flags.DEFINE_bool("progress", True, "Show progress bars.")
    flags.DEFINE_integer("max_images", None, "Images of a set for scores of one pass each.", lower_bound=2)
    flags.DEFINE_integer("slow_images", 1000, "Images of a set where each needs gradients.", lower_bound=2)
    flags.DEFINE_integer(
        "jacobian_images", 200, "Images of a set where each needs a Jacobian.", lower_bound=2
    )
    flags.mark_flags_as_required(["runs", "in", "out", "report"])


def main() -> None:
    """Computes what the cache lacks, prints the table and writes the page."""
    folder = pathlib.Path(FLAGS.report)
    if folder.exists() and not folder.is_dir():
        raise AnalysisError(f"--report: {folder} is a file; name a folder.")
    own = FLAGS["in"].value or ""
    foreign = evaluation.other_names(own, FLAGS.out)
    if not FLAGS.runs or not foreign:
        raise AnalysisError("--runs and --out: name at least one run and one set other than --in.")
    named = [path for name in ROLES for path in FLAGS[name].value or ()]
    for path in named:
        runs.Run(path).spec()
    data.check_there([own, *foreign], data_dir=FLAGS.data_dir, download=FLAGS.download)
    from analysis import (  # TensorFlow
        audit,
        cache,
        detector_candidates,
        detector_chapters,
        detector_study,
        detectors_page,
    )

    roles = detector_candidates.Roles(
        *(tuple(runs.Run(path) for path in FLAGS[name].value or ()) for name in ROLES)
    )
    everyone = [*roles.bases, *roles.ensemble, *roles.backgrounds, *roles.outlier_exposed]
    detectors.check_divisions(everyone)
    specs = [run.spec() for run in everyone]
    image_shape, division = specs[0].image_shape, specs[0].division
    limits = detector_candidates.Limits(
        FLAGS.max_images, _smaller(FLAGS.slow_images), _smaller(FLAGS.jacobian_images)
    )
    study = detector_study.DetectorStudy(
        own,
        image_shape,
        cache.Cache(folder / "cache"),
        [name for spec in specs for name in evaluation.names_trained_on(spec)],
        data_dir=FLAGS.data_dir,
        download=FLAGS.download,
        division=division,
        skip_unreadable=any(spec.skip_unreadable for spec in specs),
    )
    candidates = detector_candidates.candidates(roles, limits, image_shape, FLAGS.critics, study.model)
    counts = {name: len(study.images(name, "test", FLAGS.max_images)) for name in [own, *foreign]}
    warnings = audit.warnings(own, foreign, candidates, counts)
    warnings += audit.images_trained_on(study, everyone)
    for line in warnings:
        print(f"Warning: {line}")
    results = [study.result(c, name, FLAGS.progress) for name in foreign for c in candidates]
    print(detector_chapters.text_table(results))
    index = detectors_page.write(folder, study, results, warnings, audit.held_out(study))
    print(f"Written to {index}")


def _smaller(limit: int) -> int:
    return limit if FLAGS.max_images is None else min(limit, FLAGS.max_images)


if __name__ == "__main__":
    define_flags()
    commands.run(main)
