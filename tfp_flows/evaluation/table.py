"""The table of an evaluation: a row for each data set."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Sequence

import numpy as np

from tfp_flows.data import ImageSet
from tfp_flows.evaluation.separation import auroc
from tfp_flows.numerics import quantization
from tfp_flows.runs import write_atomically


@dataclasses.dataclass(frozen=True)
class Row:
    """One data set's likelihoods under a model.

    Attributes:
      dataset: Name as in `tfp_flows.data`, operations included.
      split: "train" or "test".
      n: Number of images.
      bits_per_dim: Mean over images.
      bits_per_dim_se: Standard error of that mean.
      log_prob: Mean log-probability, nats per image.
      auroc: Area under the ROC curve of the score -log_prob, this set positive (out of distribution)
        against the model's own test set; 0.5 is chance, below it this set is the *more* likely one.
        None for the test set itself.
      auroc_low: Lower end of its 95 % bootstrap interval.
      auroc_high: Upper end.
      estimate_se: Mean over images of the standard error of each one's estimated log-probability, nats.
        None where the model says none: it is exact, or a bound from fixed noise.
    """

    dataset: str
    split: str
    n: int
    bits_per_dim: float
    bits_per_dim_se: float
    log_prob: float
    auroc: float | None = None
    auroc_low: float | None = None
    auroc_high: float | None = None
    estimate_se: float | None = None


def table(rows: Sequence[Row]) -> str:
    """The rows as an aligned text table."""
    lines: list[tuple[str, ...]] = [
        ("dataset", "split", "n", "bits/dim", "log p (nats)", "AUROC of -log p [95 %]")
    ]
    for row in rows:
        area = "" if row.auroc is None else f"{row.auroc:.3f} [{row.auroc_low:.3f}, {row.auroc_high:.3f}]"
        lines.append(
            (
                row.dataset,
                row.split,
                f"{row.n:,}",
                f"{row.bits_per_dim:.3f} ± {row.bits_per_dim_se:.3f}",
                f"{row.log_prob:,.1f}",
                area,
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def row_of(
    image_set: ImageSet, scores: np.ndarray, reference: np.ndarray | None, estimate_se: float | None
) -> Row:
    """`Row` of a set from its log-probabilities `[N]`, against the model's own test set's if given."""
    bits = quantization.bits_per_dim(scores, image_set.image_shape)
    area = {}
    if reference is not None:
        value, low, high = auroc(-reference, -scores)
        area = dict(auroc=value, auroc_low=low, auroc_high=high)
    error = bits.std(ddof=1) / np.sqrt(len(bits)) if len(bits) > 1 else float("nan")
    mean = (bits.mean(), error, scores.mean())
    return Row(image_set.name, image_set.split, len(scores), *mean, estimate_se=estimate_se, **area)


def write_csv(path: pathlib.Path, rows: Sequence[Row]) -> None:
    """Writes rows as CSV, whole or not at all."""
    text = io.StringIO()
    fields = [field.name for field in dataclasses.fields(Row)]
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values = dataclasses.asdict(row)
        writer.writerow({k: "" if v is None else v for k, v in values.items()})
    write_atomically(path, text.getvalue())
