"""How a command that evaluated a run ends: with a table, a picture, and what they mean."""

import dataclasses
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows import data, evaluation, runs
from tfp_flows.checks.errors import UserError
from tfp_flows.detectors import Detector
from tfp_flows.pages import pictures
from tfp_flows.reporting import closing_words, run_detector
from tfp_flows.reporting.evaluated import Evaluated, bits_of
from tfp_flows.reporting.findings import Findings
from tfp_flows.reporting.judged import Judged, judge

MOST_FITTED, MOST_JUDGED = 2000, 1000  # images of a split, and of a set: this is to take little time
PICTURE = "summary.png"
ALPHA = 0.05


def close(
    run: runs.Run,
    sets: Sequence[data.ImageSet],
    rows: Sequence[evaluation.Row],
    *,
    spec: runs.RunSpec | None = None,
    detector_name: str = "",
    data_dir: str | os.PathLike | None = None,
    download: bool = False,
    progress: bool = True,
    reported: Findings | None = None,
) -> list[str]:
    """Writes RUN/evaluation/summary.png, and says what an evaluation means and what to type next.

    The detector in RUN/detector judges the sets too, 1,000 images of each at most. Where there is none of
    this model and a name is given, it is made there, of 2,000 images of a split at most. What
    keeps it from that is said; the evaluation stands.

    Args:
      run: A trained run.
      sets: As from `evaluation.load_sets`: own test images, own training images, then others.
      rows: Of the sets, as from `evaluation.evaluate`.
      spec: The run's, its data where they are now; None for `run.spec()`.
      detector_name: One of `detectors.names.NAMES` that takes one model; "" to make none.
      data_dir: As for `data.load`.
      download: As for `data.load`.
      progress: Whether to show progress bars.
      reported: What a report of the same evaluation found, whose detector has judged the sets already.

    Returns:
      Lines for a terminal: a table where there is a detector, and five lines.
    """
    spec = spec or run.spec()
    chosen = [image_set for image_set, row in zip(sets, rows, strict=True) if row.split != "train"]
    rows = [row for row in rows if row.split != "train"]
    detector, judged, why = None, [], ""
    picked: dict[str, np.ndarray] = {}
    try:
        detector = reported.detector if reported else run_detector.read(run)
        if detector is None and detector_name:
            where: dict[str, Any] = dict(data_dir=data_dir, download=download, max_images=MOST_FITTED)
            detector, _ = run_detector.make(run, spec, detector_name, **where, progress=progress)
        if reported:
            pairs = zip(reported.judged, rows, strict=True)
            judged = [dataclasses.replace(each, label=row.dataset) for each, row in pairs]
        elif detector is not None:
            picked = _picked(chosen, rows)
            judged = _judged(detector, chosen, rows, picked, progress)
    except (ValueError, tf.errors.OpError) as error:  # too few images; no memory; a singular covariance
        why = str(error) if isinstance(error, UserError) else _first_line(error)
    found = Evaluated(
        run,
        spec,
        rows,
        bits_of(run, rows, spec.image_shape),
        judged,
        detector.name if detector is not None and judged else "",
        why,
        len(detector.conformal.known_scores()) if detector is not None and judged else 0,
        evaluation.read_samples(run.evaluation, rows[0].step),
        picked if judged else {},
    )
    picture = io.BytesIO()
    pictures.save(_figure(found, chosen), picture)
    path = run.evaluation / PICTURE
    runs.write_atomically(path, picture.getvalue())
    table = closing_words.table(found)
    return [*([""] if table else []), *table, "", *closing_words.lines(found, str(path))]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _picked(sets: Sequence[data.ImageSet], rows: Sequence[evaluation.Row]) -> dict[str, np.ndarray]:
    """{label: indices of the images that the detector judges}; none where that is all of them."""
    if all(len(image_set) <= MOST_JUDGED for image_set in sets):
        return {}
    return {row.dataset: _chosen(image_set, MOST_JUDGED) for image_set, row in zip(sets, rows, strict=True)}


def _judged(
    detector: Detector,
    sets: Sequence[data.ImageSet],
    rows: Sequence[evaluation.Row],
    picked: dict[str, np.ndarray],
    progress: bool,
) -> list[Judged]:
    names = [row.dataset for row in rows]
    some = [s.select(picked[name]) if picked else s for s, name in zip(sets, names, strict=True)]
    return judge(detector, some, ALPHA, progress, names)


def _chosen(image_set: data.ImageSet, count: int) -> np.ndarray:
    """The indices of a fixed random sample of a set; of all where it is no larger."""
    if len(image_set) <= count:
        return np.arange(len(image_set))
    return np.asarray(data.in_order_of_chance(image_set.keys)[:count])


def _figure(found: Evaluated, sets: Sequence[data.ImageSet]) -> pictures.Figure:
    areas, of_likelihood = found.areas, found.likelihood_areas
    shown = []
    for row, image_set in zip(found.rows, sets, strict=True):
        remark = "" if row.auroc is None else f"AUROC\n−log p {of_likelihood[row.dataset]:.2f}"
        if row.dataset in areas:
            remark += f"\ndetector {areas[row.dataset]:.2f}"
        images = np.asarray(image_set.select(_chosen(image_set, pictures.SHOWN)).images)
        shown.append(pictures.SetShown(row.dataset, images, found.bits[row.dataset], remark))
    title = f"{found.spec.family} trained on {found.own.dataset}, {found.own.step:,} steps"
    return pictures.summary_figure(shown, pictures.styles(found.bits), found.drawn, title)
