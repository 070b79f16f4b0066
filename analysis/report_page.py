"""The page that explains trained flows, from what a study has found."""

import dataclasses
import importlib.metadata
import pathlib
from collections.abc import Sequence

from analysis import chapters, shown, sign_table, study
from analysis.errors import AnalysisError
from analysis.study import RunStudy
from tfp_flows import data, runs
from tfp_flows.pages import page


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


def check_moved(found: Sequence[runs.Run], dataset: str | None) -> None:
    """A new place is that of one set: the data of all runs."""
    if dataset and len({run.spec().dataset for run in found}) > 1:
        raise AnalysisError("`dataset`: these runs were trained on several sets; make a report of each.")


def check_names(studies: Sequence[RunStudy]) -> None:
    """The page tells runs apart by the names of their folders."""
    called = [s.name for s in studies]
    twice = {name for name in called if called.count(name) > 1}
    if twice:
        raise AnalysisError(f"--runs: two runs are called {', '.join(sorted(twice))}; rename a folder.")
