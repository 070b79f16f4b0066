"""The page that compares detectors, from what a study has found."""

import importlib.metadata
import pathlib
from collections.abc import Sequence

from analysis import detector_chapters, detector_study
from analysis.shown import Shown
from tfp_flows import data
from tfp_flows.pages import page


def write(
    folder: pathlib.Path,
    study: detector_study.DetectorStudy,
    results: Sequence[detector_study.Result],
    warnings: Sequence[str],
    how_held_out: str,
) -> pathlib.Path:
    """Writes the page; returns the path of index.html."""
    report = page.Page(
        folder,
        f"What finds the images that a model of {data.short(study.own)} does not know?",
        detector_chapters.lead(results),
    )
    detector_chapters.warnings(report, warnings, how_held_out)
    detector_chapters.comparison(report, study, results)
    detector_chapters.literature(report, study, results)
    detector_chapters.groups_of_images(report, study, results)
    detector_chapters.maps(report, study, results)
    shown = Shown([study.own], dict.fromkeys(r.foreign for r in results))
    return report.write([*shown.in_full(), *_how(results)])


def _how(results: Sequence[detector_study.Result]) -> list[str]:
    lines = []
    for candidate in dict.fromkeys(result.candidate for result in results):
        runs = ", ".join(str(run.folder) for run in candidate.runs) or "no density model"
        settings = ", ".join(f"{k} {v}" for k, v in candidate.settings.items())
        lines.append(f"{candidate.label}: {runs}{'; ' if settings else ''}{settings}.")
    versions = ("tfp-flows", "tensorflow", "tensorflow-probability", "scikit-learn")
    return [*lines, ", ".join(f"{name} {importlib.metadata.version(name)}" for name in versions) + "."]
