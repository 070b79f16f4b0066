"""TensorBoard events of a run; the one module that needs `tensorboard`."""

import pathlib

import tensorflow as tf


class Events:
    """Writes scalars for TensorBoard; the newest of a step is the one that it shows."""

    def __init__(self, folder: pathlib.Path):
        """Opens another file in the folder."""
        self._writer = tf.summary.create_file_writer(str(folder))

    def add(self, step: int, **values: float) -> None:
        """Adds values at `step`."""
        with self._writer.as_default():
            for key, value in values.items():
                tf.summary.scalar(key, value, step=step)

    def close(self) -> None:
        """Writes what is not yet written."""
        self._writer.close()
