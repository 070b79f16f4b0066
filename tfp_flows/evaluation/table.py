"""The table of an evaluation: a row for each data set."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Sequence

import numpy as np

from tfp_flows.data import ImageSet, short
from tfp_flows.evaluation.separation import FEWEST, auroc
from tfp_flows.numerics import quantization
from tfp_flows.runs import write_atomically

TOO_FEW = "[too few]"  # in the place of an interval
WHY_NO_INTERVAL = f"{TOO_FEW}: an interval takes at least {FEWEST} images of either set."


@dataclasses.dataclass(frozen=True)
class Row:
    """One data set's likelihoods under a model.

    Attributes:
      dataset: What the set is called: its alias, or a short form of its name.
      split: "train" or "test"; "all" of a set without a test split, which is new to the model.
      n: Number of images.
      bits_per_dim: Mean over images.
      bits_per_dim_se: Standard error of that mean; None of a single image.
      log_prob: Mean log-probability, nats per image.
      auroc: Area under the ROC curve of the score -log_prob, this set positive (out of distribution)
        against the model's own test set; 0.5 is chance, below it this set is the *more* likely one.
        None for the test set itself.
      auroc_low: Lower end of its 95 % bootstrap interval; None where a set has too few images for one.
      auroc_high: Upper end.
      estimate_se: Mean over images of the standard error of each one's estimated log-probability, nats.
        None where the model says none: it is exact, or a bound from fixed noise.
      step: Of training; None where it is not known.
      name: Of the set as in `tfp_flows.data`, operations and alias included; not in the CSV.
      protocol: How log-probabilities were estimated, such as "bound=mean noise_seed=0"; not
        in the CSV.
      total: How many images the split has, of which n are a fixed random sample; None for n.
      accuracy: Of a model that is given labels, the share of images whose label is the one of the largest
        p(y | x); None of a set whose labels are not the model's, and of other models.
      bits_per_dim_given_label: Mean of -log p(x | y), y each image's own label, likewise; `bits_per_dim` is
        that of log p(x).
    """

    dataset: str
    split: str
    n: int
    bits_per_dim: float
    bits_per_dim_se: float | None
    log_prob: float
    auroc: float | None = None
    auroc_low: float | None = None
    auroc_high: float | None = None
    estimate_se: float | None = None
    step: int | None = None
    name: str = ""
    protocol: str = ""
    total: int | None = None
    accuracy: float | None = None
    bits_per_dim_given_label: float | None = None


def table(rows: Sequence[Row]) -> str:
    """The rows as an aligned text table."""
    lines: list[tuple[str, ...]] = [
        ("dataset", "split", "n", "bits/dim", "log p (nats)", "AUROC of -log p [95 %]")
    ]
    for row in rows:
        lines.append(
            (
                row.dataset,
                row.split,
                f"{row.n:,}" if row.total in (None, row.n) else f"{row.n:,} of {row.total:,}",
                with_error(row.bits_per_dim, row.bits_per_dim_se),
                f"{row.log_prob:,.1f}",
                "" if row.auroc is None else with_interval(row.auroc, row.auroc_low, row.auroc_high),
            )
        )
    return aligned(lines)


def aligned(lines: Sequence[tuple[str, ...]]) -> str:
    """Lines of cells as a table: the first is its head, the first two columns are words."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    head, *others = lines
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [head, tuple("-" * width for width in widths), *others]
    )


def with_interval(value: float, low: float | None, high: float | None) -> str:
    """A number with its interval, or with a word in its place where there is none."""
    if low is None or high is None:
        return f"{value:.3f} {TOO_FEW}"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def with_error(value: float, error: float | None) -> str:
    """A mean with its standard error, if there is one."""
    return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"


def row_of(
    image_set: ImageSet,
    scores: np.ndarray,
    reference: np.ndarray | None,
    estimate_se: float | None,
    label: str = "",
    step: int | None = None,
    protocol: str = "",
) -> Row:
    """`Row` of a set from its log-probabilities `[N]`, against the model's own test set's if given.

    Args:
      image_set: The set.
      scores: Its log-probabilities.
      reference: The own test set's, or None.
      estimate_se: As in `Row`.
      label: What the set is called; "" for a short form of its name.
      step: As in `Row`.
      protocol: As in `Row`.
    """
    bits = quantization.bits_per_dim(scores, image_set.image_shape)
    area: tuple[float | None, float | None, float | None] = (None, None, None)
    if reference is not None:
        area = auroc(-reference, -scores)
    return Row(
        label or short(image_set.name),
        image_set.split,
        len(scores),
        float(bits.mean()),
        float(bits.std(ddof=1) / np.sqrt(len(bits))) if len(bits) > 1 else None,
        float(scores.mean()),
        *area,
        estimate_se=estimate_se,
        name=image_set.name,
        step=step,
        protocol=protocol,
        total=image_set.total,
    )


def write_csv(path: pathlib.Path, rows: Sequence[Row]) -> None:
    """Writes rows as CSV, whole or not at all: two texts and numbers."""
    text = io.StringIO()
    fields = [field.name for field in dataclasses.fields(Row) if field.name not in ("name", "protocol")]
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values = dataclasses.asdict(row)
        writer.writerow({k: "" if values[k] is None else values[k] for k in fields})
    write_atomically(path, text.getvalue())
