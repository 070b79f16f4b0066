"""What is due at which step of a training, apart from doing it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Due:
    """What is to be done after a step, in this order.

    Attributes:
      log: A row of metrics.
      validate: A score of the averaged weights on validation images.
      save: A checkpoint.
      end: Nothing more: it was the last step.
    """

    log: bool
    validate: bool
    save: bool
    end: bool


@dataclasses.dataclass(frozen=True)
class Agenda:
    """When a training logs, validates, saves and ends: all of it after the last step, too.

    Attributes:
      steps: Steps in all.
      log_every: Steps between rows of metrics.
      validate_every: Steps between validations; 0 for none, not even at the end.
      checkpoint_every: Steps between checkpoints.
    """

    steps: int
    log_every: int
    validate_every: int
    checkpoint_every: int

    def due(self, step: int) -> Due:
        """What is due after step `step`, which is 1 after the first."""
        end = step >= self.steps

        def now(every: int) -> bool:
            return every > 0 and (end or step % every == 0)

        return Due(now(self.log_every), now(self.validate_every), now(self.checkpoint_every), end)
