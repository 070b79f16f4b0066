"""All that a report of a run tells: its data, their likelihoods, and what its detector says of them."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows import data, detectors, evaluation, runs
from tfp_flows.distributions import protocols
from tfp_flows.numerics import quantization
from tfp_flows.reporting import run_detector
from tfp_flows.reporting.evaluated import bits_of
from tfp_flows.reporting.judged import Judged, judge
from tfp_flows.reporting.overview import plain

MOST_FOR_TERMS = 1000  # images of a set


@dataclasses.dataclass(frozen=True)
class Findings:
    """What there is to tell.

    Attributes:
      run: The run.
      spec: The run's, its data where they are now.
      sets: Own test images, own training images, then the others.
      rows: Their likelihoods.
      detector: Fitted and calibrated.
      folder: Where the detector was saved.
      used: How many images it was made of.
      judged: Own test images and the others, as the detector judges them.
      bits: {label: bits/dim `[N]`}, own test images first; those of training end in "(train)".
      terms: {label: {term: `[N]`, bits/dim}} of a flow's log p; none of another model.
      overview: Lines that say what was found where the images were read.
    """

    run: runs.Run
    spec: runs.RunSpec
    sets: Sequence[data.ImageSet]
    rows: Sequence[evaluation.Row]
    detector: detectors.Detector
    folder: pathlib.Path
    used: detectors.Used
    judged: Sequence[Judged]
    bits: dict[str, np.ndarray]
    terms: dict[str, dict[str, np.ndarray]]
    overview: Sequence[str] = ()

    @property
    def own(self) -> Judged:
        """The run's own test images."""
        return self.judged[0]

    @property
    def others(self) -> Sequence[Judged]:
        """The sets that it was compared with."""
        return self.judged[1:]


def find(
    run: runs.Run,
    spec: runs.RunSpec,
    sets: Sequence[data.ImageSet],
    rows: Sequence[evaluation.Row],
    detector_name: str,
    alpha: float,
    overview: Sequence[str],
    *,
    data_dir: str | os.PathLike | None,
    download: bool,
    progress: bool,
) -> Findings:
    """Fits, calibrates and saves the detector, and judges the sets; arguments as of `run_report.write`."""
    detector, used = run_detector.make(
        run, spec, detector_name, data_dir=data_dir, download=download, progress=progress
    )
    own, _, *others = sets
    called = plain([row.dataset for row in rows], spec.preparation.text)
    bits = dict(zip(_labels(rows, called), bits_of(run, rows, spec.image_shape).values(), strict=True))
    rows = [dataclasses.replace(row, dataset=called[row.dataset]) for row in rows]
    labels = [rows[0].dataset, *(row.dataset for row in rows[2:])]
    judged = judge(detector, [own, *others], alpha, progress, labels)
    terms = {each.label: found for each in judged if (found := terms_of(detector.models[0], each.images))}
    return Findings(
        run,
        spec,
        sets,
        rows,
        detector,
        run.folder / run_detector.FOLDER,
        used,
        judged,
        bits,
        terms,
        overview,
    )


def _labels(rows: Sequence[evaluation.Row], called: Mapping[str, str]) -> list[str]:
    """What the sets of these rows are called."""
    return [called[row.dataset] + (" (train)" if row.split == "train" else "") for row in rows]


def terms_of(model: Any, images: data.ImageSet) -> dict[str, np.ndarray]:
    """The terms of a flow's log p in bits/dim `[N]`, higher = likelier; none of a model that is no flow.

    Of a large set they are those of its first `MOST_FOR_TERMS` images.
    """
    if not protocols.is_flow(model):
        return {}
    signature = [tf.TensorSpec([None, *images.image_shape], tf.uint8)]
    compiled = tf.function(model.terms, input_signature=signature, autograph=False)
    batches = data.evaluation_batches(images.images[:MOST_FOR_TERMS], 256)
    found = [[term.numpy() for term in compiled(batch)] for batch in batches]
    log_prob_z, log_det, constant = (np.concatenate(values) for values in zip(*found, strict=True))
    nats = {
        "log p(z): latent under the prior": log_prob_z,
        "log|det dz/dx|: volume": log_det + constant,
        "log p(x): their sum": log_prob_z + log_det + constant,
    }
    return {name: -quantization.bits_per_dim(values, images.image_shape) for name, values in nats.items()}
