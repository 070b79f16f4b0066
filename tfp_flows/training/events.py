"""TensorBoard events of a run; the one module that needs `tensorboard`."""

import contextlib
import pathlib
from collections.abc import Iterator

import tensorflow as tf

from tfp_flows import runs
from tfp_flows.runs import checkpoint_files


class Events:
    """Writes scalars for TensorBoard; the newest of a step is the one that it shows."""

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
