"""What can be looked at in TensorBoard while a model trains: samples, reconstructions, histograms, terms."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows import data
from tfp_flows.numerics import roc
from tfp_flows.training import drawing, views
from tfp_flows.training.metrics import Metrics
from tfp_flows.training.subject import Subject

MOST_IMAGES = 256  # of each set, whose likelihoods are shown
COLUMNS, ROWS = 8, 2  # of samples; of images, each with its reconstruction below
OWN = "validation"


@dataclasses.dataclass(frozen=True)
class Shown:
    """What is shown besides the validation images.

    Attributes:
      foreign: Images of another kind, uint8 `[M, H, W, C]`; of many a fixed sample is taken. None for none.
      label: What they are called.
      settings: All settings by name, for TensorBoard's table of runs.
    """

    foreign: data.Array | None = None
    label: str = "foreign"
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Looks:
    """Looks at the averaged weights at each validation, and writes what it sees among the metrics' events.

    - `samples`, always of the same latents; `samples_not_finite` counts those with pixels that are no
      numbers, which show as black.
    - `reconstructions`, each below its image; `reconstruction_error`, their mean distance in grey levels.
    - `bits_per_dim` of up to `MOST_IMAGES` validation images and as many foreign ones: histograms, means,
      one picture of both, and `auroc` of -log p.
    - The terms of log p of both sets, in nats: histograms and means; see `views.terms`.
    - `flags` as text, and TensorBoard's hyperparameters, when training begins.

    Nothing of the training changes by it, not by a bit. It is a `Record` that keeps nothing; `Loop` calls it
    after each validation.
    """

    def __init__(
        self,
        subject: Subject,
        metrics: Metrics,
        validation: data.Array,
        shown: Shown,
        flags_text: str,
        start: int,
    ) -> None:
        """Takes a sample of the images; nothing is computed or written yet.

        Args:
          subject: What is trained: a model over integer images.
          metrics: Whose events are written to: one file for a run, as TensorBoard wants it. They are open
            whenever this is.
          validation: uint8 `[N, H, W, C]`.
          shown: What else is shown.
          flags_text: Contents of the flag file that repeats the run.
          start: The step that training goes on from.
        """
        self._subject = subject
        self._metrics = metrics
        self._shown = shown
        self._flags_text = flags_text
        self._start = start
        self._sets = {OWN: sample(validation)}
        if shown.foreign is not None and len(shown.foreign):
            self._sets[shown.label] = sample(shown.foreign)

    def __enter__(self) -> "Looks":
        """Writes what is known from the beginning."""
        lines = [f"    {line}" for line in self._flags_text.splitlines()]  # Markdown's way to keep lines
        self._metrics.events.text(self._start, "flags", "\n".join(lines) or "(none)")
        if self._shown.settings:
            self._metrics.events.hyperparameters(self._shown.settings)
        return self

    def __exit__(self, *error: object) -> None:
        """Does nothing: the events are the metrics' own."""

    def add(self, step: int, **values: float) -> None:
        """Does nothing."""

    def flush(self) -> None:
        """Does nothing."""

    def look(self, step: int) -> None:
        """Computes and writes everything of the weights that the model has."""
        self._show_samples(step)
        self._show_reconstructions(step)
        bits = {}
        for label, images in self._sets.items():
            for name, values in views.terms(self._subject.model, images).items():
                self._write(step, name, label, values)
            log_prob = self._subject.marginal or self._subject.log_prob
            log_probs = log_prob(tf.constant(images)).numpy().astype(np.float64)
            values = np.asarray(self._subject.loss(log_probs))
            bits[label] = self._write(step, self._subject.unit.name, label, values)
        self._compare(step, bits)

    def _show_samples(self, step: int) -> None:
        found = views.samples(self._subject.model, COLUMNS * ROWS)
        if found is not None:
            self._metrics.events.image(step, "samples", drawing.grid(found.images, COLUMNS))
            self._metrics.events.add(step, samples_not_finite=float(found.not_finite))

    def _show_reconstructions(self, step: int) -> None:
        images = self._sets[OWN][: COLUMNS * ROWS]
        found = views.reconstructions(self._subject.model, images)
        if found is not None:
            self._metrics.events.image(step, "reconstructions", drawing.pairs(images, found, COLUMNS))
            error = np.abs(images.astype(np.float64) - found).mean()
            self._metrics.events.add(step, reconstruction_error=float(error))

    def _write(self, step: int, name: str, label: str, values: np.ndarray) -> np.ndarray:
        """Mean and histogram of the values that are finite, which are returned; how many are not, if any."""
        finite = values[np.isfinite(values)]
        scalars = {}
        if len(finite):
            scalars[f"mean_{name}/{label}"] = float(finite.mean())  # a tag is of one kind
            self._metrics.events.histogram(step, f"{name}/{label}", finite)
        if len(finite) < len(values):
            scalars[f"{name}_not_finite/{label}"] = float(len(values) - len(finite))
        self._metrics.events.add(step, **scalars)
        return finite

    def _compare(self, step: int, bits: Mapping[str, np.ndarray]) -> None:
        shown = {label: values for label, values in bits.items() if len(values)}
        if OWN not in shown:
            return
        self._metrics.events.image(step, "likelihoods", drawing.histograms(shown, f"step {step:,}"))
        for label in shown.keys() - {OWN}:
            self._metrics.events.add(step, **{f"auroc/{label}": roc.area_under(shown[OWN], shown[label])})


def sample(images: data.Array, most: int = MOST_IMAGES) -> np.ndarray:
    """At most so many images, evenly spaced, the same each time: no class is left out for its place."""
    places = np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int).tolist()
    return np.concatenate([np.asarray(images[place : place + 1]) for place in places])
