"""What there is to say when a run has been evaluated."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from tfp_flows import evaluation, runs
from tfp_flows.numerics import quantization
from tfp_flows.reporting.judged import Judged


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """A run, the sets that it was judged on, and what its detector says of them.

    Attributes:
      run: The run.
      spec: The run's, its data where they are now.
      rows: Of the own test images first, then of the other sets; none of training images.
      bits: {label: bits/dim `[N]`} of the rows.
      judged: The same sets as the run's detector judges them, or some images of each; none without one.
      detector: Its name; "" where there is none.
      why_none: Why there is none, where one was to be made; else "".
      num_calibration: How many images it was calibrated with.
      drawn: Images that the model drew, uint8 `[N, H, W, C]`, or None.
      chosen: {label: indices of the images that the detector judged}; none where it judged them all.
    """

    run: runs.Run
    spec: runs.RunSpec
    rows: Sequence[evaluation.Row]
    bits: Mapping[str, np.ndarray]
    judged: Sequence[Judged] = ()
    detector: str = ""
    why_none: str = ""
    num_calibration: int = 0
    drawn: np.ndarray | None = None
    chosen: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def own(self) -> evaluation.Row:
        """The row of the run's own test images."""
        return self.rows[0]

    @property
    def others(self) -> Sequence[evaluation.Row]:
        """Those of the other sets."""
        return self.rows[1:]

    @property
    def likelier(self) -> list[evaluation.Row]:
        """Those of the sets that `is_likelier`, the most preferred first."""
        return sorted(filter(is_likelier, self.others), key=lambda row: row.auroc or 0.0)

    @property
    def most_judged(self) -> int:
        """Images of the largest set that the detector judged."""
        return max(len(each.scores) for each in self.judged)

    @functools.cached_property
    def likelihood_areas(self) -> dict[str, float | None]:
        """{label of another set: AUROC of -log p}, of the images that the detector judged too."""
        if not self.chosen:
            return {row.dataset: row.auroc for row in self.others}
        bits = {label: values[self.chosen[label]] for label, values in self.bits.items()}
        own = bits[self.own.dataset]
        return {row.dataset: evaluation.auroc(own, bits[row.dataset], 0)[0] for row in self.others}

    @functools.cached_property
    def areas(self) -> dict[str, float]:
        """{label of another set: AUROC of the detector's score against the own test images}."""
        if not self.judged:
            return {}
        own, *others = (np.asarray(e.scores, np.float64) for e in self.judged)
        pairs = zip(self.judged[1:], others, strict=True)
        return {each.label: evaluation.auroc(own, scores, 0)[0] for each, scores in pairs}


def is_likelier(row: evaluation.Row) -> bool:
    """Whether the likelihood prefers a set to the own test images: whether it is fooled.

    It is by an AUROC whose whole interval is below 0.5, or, of too few images for an interval, which is
    itself.
    """
    highest = row.auroc if row.auroc_high is None else row.auroc_high
    return row.auroc is not None and highest is not None and highest < 0.5


def bits_of(
    run: runs.Run, rows: Sequence[evaluation.Row], image_shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """{label: bits/dim `[N]`} that the evaluation wrote; a label of training images ends in "(train)"."""
    scores = evaluation.scores_of(run.evaluation, rows)
    return {
        row.dataset + (" (train)" if row.split == "train" else ""): quantization.bits_per_dim(
            values, image_shape
        )
        for row, values in zip(rows, scores, strict=True)
    }
