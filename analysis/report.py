r"""Writes the paper's explanation of trained flows as one page.

    python -m analysis.report --runs=runs/glow_fashion_mnist,runs/cv_fashion_mnist \
        --datasets=mnist,noise --data_dir=DIR --out=report

OUT/index.html is self-contained; OUT/figures holds every picture, OUT/tables and OUT/results.json every
number. Each result is cached in OUT/cache: a second call is quick, and an interrupted one goes on.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from analysis.errors import AnalysisError
from tfp_flows import commands, data, runs

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the report."""
    flags.DEFINE_list("runs", None, "Folders of trained models; only flows are taken apart.")
    flags.DEFINE_list("datasets", None, f"Data sets to compare with: {commands.DATASET_HELP}")
    flags.DEFINE_string("out", None, "Folder to write the report to.")
    commands.define_moved_data_flag()
    flags.DEFINE_string("data_dir", None, "Folder of data sets in TFDS layout.")
    flags.DEFINE_bool("download", False, "Let TFDS download a data set that is not in --data_dir.")
    flags.DEFINE_bool("progress", True, "Show progress bars.")
    flags.DEFINE_integer(
        "max_images",
        None,
        "Score no more test images of a set than this, a fixed random sample.",
        lower_bound=2,
    )
    flags.DEFINE_integer("num_probes", 64, "Random probes of Hutchinson's estimate.", lower_bound=2)
    flags.DEFINE_integer("covariance_images", 256, "Images of a set for its full covariance.", lower_bound=2)
    flags.DEFINE_integer("sweep_images", 500, "Images at each contrast.", lower_bound=2)
    flags.DEFINE_integer("seed", 0, "Of probes, draws and samples.", lower_bound=0)
    flags.mark_flags_as_required(["runs", "datasets", "out"])


def _check_there(datasets: Sequence[str], where: dict[str, Any]) -> None:
    """Refuses data sets none of which is there; the page says which of them are left out."""
    missing = []
    for name in datasets:
        try:
            data.check_there([name], **where)
        except data.DataError as error:
            missing.append(error)
    if missing and len(missing) == len(datasets):
        raise missing[0]


def main() -> None:
    """Computes what the cache lacks and writes the page."""
    out = pathlib.Path(FLAGS.out)
    if out.exists() and not out.is_dir():
        raise AnalysisError(f"--out: {out} is a file; name a folder.")
    found = [runs.Run(folder) for folder in FLAGS.runs]
    for run in found:
        run.spec()
    _check_there(FLAGS.datasets, dict(data_dir=FLAGS.data_dir, download=FLAGS.download))
    from analysis import cache, report_page, sign_table, study  # here, as they import TensorFlow

    config = study.StudyConfig(
        datasets=tuple(FLAGS.datasets),
        data_dir=FLAGS.data_dir,
        download=FLAGS.download,
        max_images=FLAGS.max_images,
        num_probes=FLAGS.num_probes,
        covariance_images=FLAGS.covariance_images,
        sweep_images=FLAGS.sweep_images,
        seed=FLAGS.seed,
    )
    results = cache.Cache(out / "cache")
    report_page.check_moved(found, FLAGS.dataset)
    studies = [study.RunStudy(run, config, results, FLAGS.dataset) for run in found]
    report_page.check_names(studies)
    if not studies:
        raise AnalysisError("--runs: name at least one folder of a run.")
    study.compute_all(studies, FLAGS.progress)
    index = report_page.write(out, studies, config)
    print(sign_table.summary(studies))
    print(f"Written to {index}")


if __name__ == "__main__":
    define_flags()
    commands.run(main)
