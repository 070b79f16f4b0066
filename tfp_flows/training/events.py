"""TensorBoard events of a run; the one module that needs `tensorboard`."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows import runs
from tfp_flows.runs import checkpoint_files


class Events:
    """Writes for TensorBoard; the newest of a step is what it shows."""

    def __init__(self, folder: pathlib.Path):
        """Opens another file in the folder.

        Raises:
          RunError: If that cannot be written; of `add` and `close`, too.
        """
        self._folder = folder
        with self._naming_the_folder():
            self._writer = tf.summary.create_file_writer(str(folder))

    def add(self, step: int, **values: float) -> None:
        """Adds values at `step`."""
        with self._naming_the_folder(), self._writer.as_default():
            for key, value in values.items():
                tf.summary.scalar(key, value, step=step)

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Adds an image, uint8 `[H, W, 1 or 3]`."""
        with self._naming_the_folder(), self._writer.as_default():
            tf.summary.image(name, image[np.newaxis], step=step)

    def histogram(self, step: int, name: str, values: np.ndarray) -> None:
        """Adds a histogram of finite values `[N]`."""
        with self._naming_the_folder(), self._writer.as_default():
            tf.summary.histogram(name, values, step=step)

    def text(self, step: int, name: str, text: str) -> None:
        """Adds text, which is shown as Markdown."""
        with self._naming_the_folder(), self._writer.as_default():
            tf.summary.text(name, _utf8(text), step=step)

    def hyperparameters(self, settings: Mapping[str, Any]) -> None:
        """Adds settings by name, by which TensorBoard compares runs."""
        from tensorboard.plugins.hparams import api  # here, as it takes a while

        plain = (bool, int, float, str)
        shown = {key: value if isinstance(value, plain) else str(value) for key, value in settings.items()}
        shown = {key: _utf8(value) if isinstance(value, str) else value for key, value in shown.items()}
        with self._naming_the_folder(), self._writer.as_default():
            api.hparams(shown)

    def close(self) -> None:
        """Writes what is not yet written."""
        with self._naming_the_folder():
            self._writer.close()

    @contextlib.contextmanager
    def _naming_the_folder(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            reason = checkpoint_files.reason_of(error)
            raise runs.RunError(f"`run`: no events can be written to {self._folder}: {reason}.") from error


def _utf8(text: str) -> str:
    r"""The text with bytes of a path that are no UTF-8 as \x..; TensorBoard takes no other."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
