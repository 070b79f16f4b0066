"""Where a training's state is kept: in a run's folder, or in memory for as long as it lasts."""

import pathlib
from typing import Protocol

import tensorflow as tf

from tfp_flows import runs
from tfp_flows.runs import checkpoint_files
from tfp_flows.training.state import TrainingState


class Checkpoints(Protocol):
    """What keeps a training's state."""

    def save(self, step: int) -> None:
        """Keeps the state of this step."""

    def save_best(self, step: int) -> None:
        """Keeps the state of this step as that of the best validation."""

    def to_trained(self) -> None:
        """Sets the model's weights to the trained ones: averaged, and those of the best validation."""

    def whereabouts(self) -> str:
        """Where the last good state is, for a message."""

    def other_settings(self) -> str:
        """Where other settings may be tried, for a message."""


class InFolder:
    """The newest two checkpoints of a run, and the best where training may stop early."""

    def __init__(self, run: runs.Run, state: TrainingState, lock: runs.Lock | None):
        """Names the folder; nothing is read or written yet.

        Args:
          run: The run.
          state: What is kept.
          lock: The run's, of the one process, of those that share the folder, that writes; None for others.
        """
        self._run = run
        self._state = state
        self._lock = lock
        self._newest: pathlib.Path | None = None

    def restore_newest(self) -> bool:
        """Sets the state to that of the newest checkpoint that is whole; returns whether there is one.

        Warns of those that are not. One of step 0 is as good as none: training begins anew.

        Raises:
          RunError: If there are some, and none can be read.
        """
        found = checkpoint_files.read_newest([self._run.checkpoints], self._restore) is not None
        for folder in (self._run.checkpoints, self._run.best):
            checkpoint_files.clear(folder)
        return found

    def restore(self, step: int) -> None:
        """Sets the state to that of a step, which another host has written.

        Raises:
          RunError: If it is not there, or cannot be read.
        """
        path = self._run.checkpoints / f"ckpt-{step}"
        if not path.with_suffix(".index").exists():
            raise runs.RunError(
                f"`run`: the chief host goes on from {path}, which is not there on this one; name a folder "
                f"that all hosts share."
            )
        try:
            self._restore(path)
        except runs.UNREADABLE as error:
            reason = str(error).splitlines()[0]
            raise runs.RunError(f"`run`: the checkpoint {path} cannot be read: {reason}") from error

    def save(self, step: int) -> None:
        """Writes the state.

        Raises:
          RunError: If it cannot be written, or the folder is not this training's any more.
        """
        if self._lock:
            self._write(self._run.checkpoints, step, keep=2)
            self._newest = self._run.checkpoints / f"ckpt-{step}"

    def save_best(self, step: int) -> None:
        """Writes the state beside, likewise."""
        if self._lock:
            self._write(self._run.best, step, keep=1)

    def to_trained(self) -> None:
        """Sets the model's weights to those that `runs.load_model` gives."""
        checkpoint_files.read_newest([self._run.best, self._run.checkpoints], self._restore)
        self._state.average.to_variables()

    def whereabouts(self) -> str:
        """The newest checkpoint's name."""
        return f"the last good checkpoint, {self._newest}, is intact; "

    def other_settings(self) -> str:
        """A folder keeps its settings."""
        return " in another `run`"

    def _write(self, folder: pathlib.Path, step: int, keep: int) -> None:
        assert self._lock is not None
        self._lock.check("run")
        checkpoint_files.write(self._state.checkpoint, folder, step, keep)

    def _restore(self, path: pathlib.Path) -> pathlib.Path:
        self._state.restore(path)
        self._newest = path
        return path


class InMemory:
    """Nothing but the weights of the best validation."""

    def __init__(self, state: TrainingState, variables: list[tf.Variable]):
        """Keeps nothing yet; `variables` are all those of the model."""
        self._state = state
        self._variables = [*variables, *state.average.averages]
        self._best: list = []

    def save(self, step: int) -> None:
        """Does nothing: the state is where it is."""

    def save_best(self, step: int) -> None:
        """Copies the weights."""
        self._best = [variable.numpy() for variable in self._variables]

    def to_trained(self) -> None:
        """Sets the model's weights to the averaged ones of the best validation, or of now."""
        for variable, value in zip(self._variables, self._best, strict=bool(self._best)):
            variable.assign(value)
        self._state.average.to_variables()

    def whereabouts(self) -> str:
        """Nowhere."""
        return ""

    def other_settings(self) -> str:
        """Here."""
        return ""
