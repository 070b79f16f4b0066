"""A run of a table judged on tables: how likely their rows are, and how well that tells them apart.

RUN/evaluation/nats.csv          a row for each table
RUN/evaluation/log_probs.npz     log p of every row, by table
RUN/evaluation/likelihoods.png   histograms of -log p
RUN/evaluation/samples.csv       rows that the flow drew
"""

import csv
import dataclasses
import io
import shlex
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from tfp_flows import data, detectors, evaluation, reporting, runs
from tfp_flows.evaluation import aligned, with_error, with_interval
from tfp_flows.pages import pictures
from tfp_flows.tables import sets

AT_ONCE = 4096  # rows
SEED = (0, 0)
ALPHA = 0.05


@dataclasses.dataclass(frozen=True)
class Row:
    """One table's likelihoods under a flow.

    Attributes:
      dataset: What the table is called.
      split: "test" or "train"; "all" of another table than the run's own.
      n: Number of rows.
      nats: Mean over rows of -log p: densities are in the units of the columns.
      nats_se: Standard error of that mean; None of a single row.
      auroc: Area under the ROC curve of -log p, this table positive (foreign) against the run's own test
        rows; None of those.
      auroc_low: Lower end of its 95 % bootstrap interval; None where rows are too few.
      auroc_high: Upper end.
      detector_auroc: The same area of the score of RUN/detector; None where there is none.
      foreign: Share of the rows that this detector calls foreign at 0.05; likewise.
      step: Of training.
    """

    dataset: str
    split: str
    n: int
    nats: float
    nats_se: float | None
    auroc: float | None
    auroc_low: float | None
    auroc_high: float | None
    detector_auroc: float | None
    foreign: float | None
    step: int


def evaluate(
    run: runs.Run,
    parts: Mapping[str, data.Table],
    compared: Sequence[data.Table],
    *,
    max_rows: int | None = None,
    num_samples: int = 64,
    progress: bool = True,
) -> list[Row]:
    """Scores the run's test rows, as many training rows, and other tables; writes table, picture and scores.

    Warns (`data.DataWarning`) of rows that were trained on where they should not have been.

    Args:
      run: A trained run.
      parts: The splits of its own table, as from `sets.own`.
      compared: Other tables, as from `sets.others`.
      max_rows: At most so many of each, a fixed random sample; None for all.
      num_samples: Rows to draw for samples.csv; 0 for none.
      progress: Whether to show progress bars.

    Returns:
      `Row`s: test, train, then the others.

    Raises:
      RunError: If the run has no model yet.
    """
    model, step = runs.load_model(run)
    test = parts["test"].sample(max_rows)
    tables = [test, parts["train"].sample(len(test)), *(table.sample(max_rows) for table in compared)]
    called = sets.labels(tables)
    detector = reporting.run_detector.read(run)
    log_prob = _compiled(model)
    scores, strange = [], []
    for name, table in zip(called, tables, strict=True):
        rows = table.as_type(model.dtype.name)
        _warn_of_rows_trained_on(run, table, rows, name)
        scores.append(_log_probs(log_prob, rows, name if progress else None))
        strange.append(None if detector is None else detector.score(rows))
    found = [
        _row(name, table, scores, strange, i, detector, step)
        for i, (name, table) in enumerate(zip(called, tables, strict=True))
    ]
    keys = [f"{row.dataset} ({row.split})" for row in found]
    _write(run, found, dict(zip(keys, scores, strict=True)))
    if num_samples:
        drawn = model.sample(num_samples, seed=SEED).numpy()
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([parts["test"].labels, *drawn.tolist()])
        runs.write_atomically(run.evaluation / "samples.csv", text.getvalue())
    return found


def _warn_of_rows_trained_on(run: runs.Run, table: data.Table, rows: np.ndarray, name: str) -> None:
    known = run.trained_on()
    seen = int(known.holds(rows).sum()) if known and table.split != "train" else 0
    if seen:
        warnings.warn(
            f"{seen:,} of the {len(table):,} rows of {name} ({table.split}) were trained on, or are "
            f"equal to one that was.",
            data.DataWarning,
            stacklevel=3,
        )


def _compiled(model: Any) -> Any:
    signature = [tf.TensorSpec([None, *model.event_shape], model.dtype)]
    return tf.function(
        lambda rows: model.log_prob(tf.identity(rows)), input_signature=signature, autograph=False
    )


def _log_probs(log_prob: Any, rows: np.ndarray, progress: str | None) -> np.ndarray:
    values = []
    with tqdm.tqdm(total=len(rows), unit="row", desc=progress, disable=progress is None) as bar:
        for start in range(0, len(rows), AT_ONCE):
            values.append(log_prob(rows[start : start + AT_ONCE]).numpy().astype(np.float64))
            bar.update(len(values[-1]))
    found = np.concatenate(values)
    return np.where(np.isnan(found), -np.inf, found)  # as strange as can be


def _row(
    name: str,
    table: data.Table,
    scores: Sequence[np.ndarray],
    strange: Sequence[np.ndarray | None],
    place: int,
    detector: "detectors.Detector | None",
    step: int,
) -> Row:
    """The row of the table at a place, against the first one."""
    own = scores[place]
    nats_se = float(own.std(ddof=1) / np.sqrt(len(own))) if len(own) > 1 else None
    area: tuple[float | None, float | None, float | None] = (None, None, None)
    by_detector = foreign = None
    if place:
        area = evaluation.auroc(-scores[0], -own)
    first, here = strange[0], strange[place]
    if detector is not None and first is not None and here is not None:
        by_detector = evaluation.auroc(first, here, num_bootstrap=0)[0] if place else None
        p_values = detector.p_value_of_scores(here)
        foreign = float(np.mean(p_values <= np.float32(ALPHA)))
    return Row(name, table.split, len(own), -float(own.mean()), nats_se, *area, by_detector, foreign, step)


def _write(run: runs.Run, rows: Sequence[Row], scores: Mapping[str, np.ndarray]) -> None:
    run.evaluation.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    fields = [field.name for field in dataclasses.fields(Row)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    for row in rows:
        writer.writerow(["" if value is None else value for value in dataclasses.astuple(row)])
    runs.write_atomically(run.evaluation / "nats.csv", text.getvalue())
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **scores)  # type: ignore[arg-type]
    runs.write_atomically(run.evaluation / "log_probs.npz", arrays.getvalue())
    shown = {name: -values[np.isfinite(values)] for name, values in scores.items()}
    shown = {name: values for name, values in shown.items() if len(values)}
    title = f"A flow trained on {rows[0].dataset}, {rows[0].step:,} steps"
    own, training, *_ = scores
    picture = io.BytesIO()
    if own in shown:
        how = pictures.styles(shown, {training: own} if training in shown else {})
        said = "-log p, nats per row (further left: the flow finds it likelier)"
        pictures.save(pictures.score_figure(shown, said, how, title=title), picture)
        runs.write_atomically(run.evaluation / "likelihoods.png", picture.getvalue())


def report(run: runs.Run, rows: Sequence[Row]) -> str:
    """The table of the rows, what it says, and where the files are, as text."""
    judged = rows[0].foreign is not None
    head: tuple[str, ...] = ("dataset", "split", "n", "nats per row", "AUROC of -log p [95 %]")
    lines = [(*head, "AUROC of detector", f"foreign at {ALPHA:g}") if judged else head]
    for row in rows:
        area = "" if row.auroc is None else with_interval(row.auroc, row.auroc_low, row.auroc_high)
        line = (row.dataset, row.split, f"{row.n:,}", with_error(row.nats, row.nats_se), area)
        if judged:
            by_detector = "" if row.detector_auroc is None else f"{row.detector_auroc:.3f}"
            line += (by_detector, f"{row.foreign:.1%}")  # type: ignore[assignment]
        lines.append(line)
    said = [aligned(lines), ""]
    said.append("Nats are in the units of the columns: of two flows of one table, lower is better.")
    likelier = [row.dataset for row in rows[2:] if row.auroc_high is not None and row.auroc_high < 0.5]
    if any(row.auroc is not None and row.auroc_low is None for row in rows):
        least = f"an interval takes at least {evaluation.FEWEST} rows of each table"
        said.append(f"{evaluation.TOO_FEW}: {least}.")
    if likelier:
        said.append(
            f"The flow finds these more likely than its own test rows (AUROC below 0.5): "
            f"{', '.join(likelier)}."
        )
    said.append(f"The table, a picture, samples and scores are in {run.evaluation}.")
    if not judged:
        out = shlex.quote(str(run.folder / reporting.run_detector.FOLDER))
        folder = shlex.quote(str(run.folder))
        said.append(f"Next, a detector: python -m tfp_flows.detect --run={folder} --out={out}")
    return "\n".join(said)
