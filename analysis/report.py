r"""Writes the paper's explanation of trained flows as one page.

    python -m analysis.report --runs=runs/glow_fashion_mnist,runs/cv_fashion_mnist \
        --datasets=mnist,noise --data_dir=DIR --out=report

OUT/index.html is self-contained; OUT/figures holds every picture, OUT/tables and OUT/results.json every
number. Each result is cached in OUT/cache: a second call is quick, and an interrupted one goes on.
"""

import dataclasses
import importlib.metadata
import pathlib
from collections.abc import Sequence

from absl import flags

from analysis import cache, chapters, page, shown, sign_table, study
from analysis.errors import AnalysisError
from analysis.study import RunStudy
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


def main() -> None:
    """Computes what the cache lacks and writes the page."""
    out = pathlib.Path(FLAGS.out)
    if out.exists() and not out.is_dir():
        raise AnalysisError(f"--out: {out} is a file; name a folder.")
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
    found = [runs.Run(folder) for folder in FLAGS.runs]
    _check_moved(found, FLAGS.dataset)
    studies = [study.RunStudy(run, config, results, FLAGS.dataset) for run in found]
    _check_names(studies)
    if not studies:
        raise AnalysisError("--runs: name at least one folder of a run.")
    study.compute_all(studies, FLAGS.progress)
    index = write(out, studies, config)
    print(sign_table.summary(studies))
    print(f"Written to {index}")


def write(out: pathlib.Path, studies: Sequence[RunStudy], config: study.StudyConfig) -> pathlib.Path:
    """Writes the page from what is in the cache; returns the path of index.html."""
    report = page.Page(out, *heading(*chapters.count_fooled(studies)))
    chapters.likelihoods(report, studies)
    chapters.decomposition(report, studies)
    chapters.data_moments(report, studies)
    chapters.second_order(report, studies)
    sign_table.chapter(report, studies)
    chapters.sweeps(report, studies)
    chapters.samples(report, studies)
    return report.write(_how(studies, config))


def heading(fooled: int, judged: int) -> tuple[str, str]:
    """(title, first paragraph) of the page, as the numbers have it.

    Args:
      fooled: Comparisons in which other images are likelier.
      judged: All comparisons.
    """
    title = "Why the likelihood is fooled" if fooled else "Is the likelihood fooled?"
    here = f"Here it is so in {fooled} of {judged} comparisons." if fooled else ""
    if judged and not fooled:
        title, here = "Where the likelihood is not fooled", f"Here it is so in none of {judged} comparisons."
    return title, (
        f"A density model trained on some images can find others likelier. {here} These pages take trained "
        f"flows apart the way Nalisnick et al. (ICLR 2019) do: the change of variables, the volume, and a "
        f"second-order expansion that predicts the sign from the data's variances."
    ).replace("  ", " ")


def _how(studies: Sequence[RunStudy], config: study.StudyConfig) -> list[str]:
    lines = [
        f"{s.run.folder}: {s.title}, {s.spec.training['steps']:,} steps, seed {s.spec.training['seed']}, "
        f"{_size_of(s)}."
        for s in studies
    ]
    for s in studies:
        lines += [f"{s.name} left out {data.short(name)}: {why}." for name, why in s.left_out.items()]
    lines += shown.of_studies(studies).in_full()
    lines.append(
        "The moments of p* are of the training split, those of the other sets of their test split, or of "
        "all images of a set without one; log-likelihoods likewise. Those of flows are dequantised with one "
        "draw of uniform noise, the same for all images."
    )
    if config.max_images is not None:
        lines.append(f"Of each set at most {config.max_images:,} images, a fixed random sample.")
    lines.append(
        f"Hutchinson: {config.num_probes} probes; full covariance: {config.covariance_images} images of "
        f"each set; contrast: {config.sweep_images} images; seed {config.seed}."
    )
    versions = ("tfp-flows", "tensorflow", "tensorflow-probability")
    return [*lines, ", ".join(f"{name} {_version(name)}" for name in versions) + "."]


def _size_of(study: RunStudy) -> str:
    model = study.spec.model
    if study.is_flow:
        return (
            f"{model.levels} levels of {model.steps_per_level} steps, {model.hidden_channels} hidden "
            f"channels, prior {model.prior}({model.prior_scale:g})"
        )
    return ", ".join(f"{k} {v}" for k, v in dataclasses.asdict(model).items())


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _check_moved(found: Sequence[runs.Run], dataset: str | None) -> None:
    """A new place is that of one set: the data of all runs."""
    if dataset and len({run.spec().dataset for run in found}) > 1:
        raise AnalysisError("`dataset`: these runs were trained on several sets; make a report of each.")


def _check_names(studies: Sequence[RunStudy]) -> None:
    called = [s.name for s in studies]
    twice = {name for name in called if called.count(name) > 1}
    if twice:
        raise AnalysisError(f"--runs: two runs are called {', '.join(sorted(twice))}; rename a folder.")


if __name__ == "__main__":
    define_flags()
    commands.run(main)
