"""What is trained, on what, and how long it will take: said to whoever waits for it."""

import time

import tensorflow as tf
import tqdm

from tfp_flows.numerics import parts
from tfp_flows.training.config import TrainingConfig
from tfp_flows.training.subject import Subject


class Announcement:
    """A record that says once what is trained on which device, and then once how long it will take.

    glow: 1,234,567 parameters, on 2 CPU cores in 2 parts; steps 1 to 2,000, 64 images in each.
    About 12 minutes: 170 images/s.
    """

    def __init__(self, name: str, subject: Subject, config: TrainingConfig, start: int) -> None:
        """Takes what is said; `name` is the family's and `start` the step that training goes on from."""
        self._name = name
        self._subject = subject
        self._config = config
        self._start = start
        self._estimated = False

    def __enter__(self) -> "Announcement":
        """Says what is trained."""
        count = sum(v.shape.num_elements() for v in self._subject.model.trainable_variables)
        tqdm.tqdm.write(
            f"{self._name}: {count:,} parameters, on {_devices()}; steps {self._start + 1:,} to "
            f"{self._config.steps:,}, {self._config.batch_size} {self._subject.unit.examples} in each."
        )
        return self

    def __exit__(self, *error: object) -> None:
        """Does nothing."""

    def add(self, step: int, **values: float) -> None:
        """Says how long the rest will take, when that is known for the first time."""
        rate = values.get(f"{self._subject.unit.examples}_per_second")
        left = self._config.steps - step
        if self._estimated or rate is None or not left:
            return
        self._estimated = True
        seconds = left * self._config.batch_size / rate
        until = time.strftime("%H:%M", time.localtime(time.time() + seconds))
        tqdm.tqdm.write(
            f"About {duration(seconds)}, until {until}: {rate:,.0f} {self._subject.unit.examples}/s."
        )

    def flush(self) -> None:
        """Does nothing."""


def duration(seconds: float) -> str:
    """A time in the unit that a person would use: "40 seconds", "12 minutes", "3.5 hours"."""
    if seconds < 90:
        return f"{max(2, round(seconds))} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 90 * 60 else f"{seconds / 3600:.1f} hours"


def _devices() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"{parts.num_cores()} CPU cores"
    names = {tf.config.experimental.get_device_details(gpu).get("device_name", "unknown") for gpu in gpus}
    return f"{len(gpus)} GPU ({', '.join(sorted(names))})"
