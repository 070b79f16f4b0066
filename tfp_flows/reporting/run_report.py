"""A run's report: a page for the person whose images it was trained on."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from tfp_flows import data, evaluation, runs
from tfp_flows.detectors.names import DEFAULT
from tfp_flows.pages import Page
from tfp_flows.reporting import chapters, findings
from tfp_flows.reporting.words import alarm_lines, heading, how


@dataclasses.dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
      index: Path of the page, index.html.
      detector: Folder of the detector that was fitted and calibrated for it.
      lines: What it found, for a terminal.
      found: All that it tells.
    """

    index: pathlib.Path
    detector: pathlib.Path
    lines: tuple[str, ...]
    found: findings.Findings


def write(
    run: runs.Run,
    sets: Sequence[data.ImageSet],
    rows: Sequence[evaluation.Row],
    *,
    spec: runs.RunSpec | None = None,
    detector_name: str = DEFAULT,
    alpha: float = 0.05,
    overview: Sequence[str] = (),
    data_dir: str | os.PathLike | None = None,
    download: bool = False,
    progress: bool = True,
) -> Report:
    """Fits and calibrates a detector, and writes RUN/report/index.html of what it and the model find.

    The detector is fitted and calibrated as by `detectors.fit_and_calibrate` and saved to RUN/detector; no
    image is seen that is not the run's own. The page shows the data, the likelihoods, for a flow their two
    terms, what would be called foreign at `alpha`, the strangest of the run's own test images and the most
    normal of the others with their heat maps, and what to type next. It is one file; RUN/report/figures and
    RUN/report/tables hold the same as files.

    Args:
      run: A trained run.
      sets: As from `evaluation.load_sets`: own test images, own training images, then others.
      rows: Of the sets, as from `evaluation.evaluate`.
      spec: The run's, its data where they are now; None for `run.spec()`.
      detector_name: One of `detectors.names.NAMES` that takes one model.
      alpha: Images with a p-value of `alpha` or less are called foreign; where the calibration images are
        too few for one, the page says so.
      overview: Lines that say what was found where the images were read, as of `reporting.overview`.
      data_dir: As for `data.load`.
      download: As for `data.load`.
      progress: Whether to show progress bars.

    Returns:
      `Report`.

    Raises:
      DetectorError: If `alpha` is no level, or the detector cannot be made of the run.
      DataError: If validation or calibration images are not to be had.
    """
    found = findings.find(
        run,
        spec or run.spec(),
        sets,
        rows,
        detector_name,
        alpha,
        overview,
        data_dir=data_dir,
        download=download,
        progress=progress,
    )
    page = Page(run.folder / "report", *heading(found))
    chapters.data_found(page, found)
    chapters.likelihoods(page, found)
    chapters.decomposition(page, found)
    chapters.alarms(page, found)
    chapters.pictures_of(page, found)
    chapters.next_steps(page, found)
    return Report(page.write(how(found)), found.folder, tuple(alarm_lines(found)), found)
