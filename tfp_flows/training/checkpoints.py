"""Where a training's state is kept: in a run's folder, or in memory for as long as it lasts."""

from typing import Protocol

import tensorflow as tf

from tfp_flows import runs
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


class InFolder:
    """The newest two checkpoints of a run, and the best where training may stop early."""

    def __init__(self, run: runs.Run, state: TrainingState, writes: bool = True):
        """Names the folder; nothing is read or written yet.

        Args:
          run: The run.
          state: What is kept.
          writes: Whether this process is the one, of those that share the folder, that writes.
        """
        self._run = run
        self._state = state
        self._writes = writes
        self._manager = tf.train.CheckpointManager(state, run.checkpoints, max_to_keep=2)

    def restore_newest(self) -> bool:
        """Sets the state to that of the newest checkpoint; returns whether there is one.

        Raises:
          RunError: If it cannot be read, or is not known which it is.
        """
        if self._manager.latest_checkpoint:
            self._restore(self._manager.latest_checkpoint)
            return True
        if any(self._run.checkpoints.glob("*.index")):
            index = self._run.checkpoints / "checkpoint"
            raise runs.RunError(
                f"`run`: {index}, which names the newest checkpoint, is damaged; "
                f'write model_checkpoint_path: "ckpt-N" into it, N being the largest number there is.'
            )
        return False

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
        self._restore(str(path))

    def save(self, step: int) -> None:
        """Writes the state."""
        if self._writes:
            self._manager.save(checkpoint_number=step)

    def save_best(self, step: int) -> None:
        """Writes the state beside."""
        if self._writes:
            best = tf.train.CheckpointManager(self._state, self._run.best, max_to_keep=1)
            best.save(checkpoint_number=step)

    def to_trained(self) -> None:
        """Sets the model's weights to those that `runs.load_model` gives."""
        best = tf.train.latest_checkpoint(self._run.best)
        if best:
            self._restore(best)
        self._state.average.to_variables()

    def whereabouts(self) -> str:
        """The newest checkpoint's name."""
        return f"the last good checkpoint, {self._manager.latest_checkpoint}, is intact; "

    def _restore(self, path: str) -> None:
        try:
            self._state.restore(path).assert_consumed()
        except runs.UNREADABLE as error:
            reason = str(error).splitlines()[0]
            raise runs.RunError(f"`run`: the checkpoint {path} cannot be read: {reason}") from error


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
