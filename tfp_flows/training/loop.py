"""The training loop: one for every family, and for strangers' models; resumable to the bit.

Everything random is a function of the seed and the step: the order of the data, the dequantisation
noise, the initial weights. A checkpoint holds the whole state, so a run that was killed and resumed
gives the losses that an uninterrupted one would have given.
"""

import contextlib
import math
import signal
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf
import tqdm

from tfp_flows import data
from tfp_flows.checks.errors import UserError
from tfp_flows.training.agenda import Agenda
from tfp_flows.training.checkpoints import Checkpoints
from tfp_flows.training.config import TrainingConfig
from tfp_flows.training.examples import Examples
from tfp_flows.training.interruption import interruption
from tfp_flows.training.state import TrainingState
from tfp_flows.training.strategies import Hosts
from tfp_flows.training.subject import Subject

SCORED_AT_ONCE = 256


class TrainingDiverged(UserError):
    """The loss or the gradient is no longer finite, or the loss exploded; the message is one line."""


class Outcome(NamedTuple):
    """How training ended.

    Attributes:
      step: The step it reached.
      interrupted: Number of the signal that ended it; 0 where none did.
      improving: Whether it stops early, and has not yet: the last validation was the best.
    """

    step: int
    interrupted: int = 0
    improving: bool = False


class Record(Protocol):
    """Something that is told how a training goes on, open for as long as it does."""

    def __enter__(self) -> "Record":
        """Opens it."""

    def __exit__(self, *error: object) -> None:
        """Closes it."""

    def add(self, step: int, **values: float) -> None:
        """Takes values at a step, once for each step that has some; see `metrics.columns`."""

    def flush(self) -> None:
        """Is called before each checkpoint: what was added must not be lost after it."""


class Loop:
    """The loop over steps, and what is done after some of them.

    Attributes:
      signals: The signals that ended it.
    """

    def __init__(
        self,
        subject: Subject,
        state: TrainingState,
        config: TrainingConfig,
        hosts: Hosts,
        train_step: Callable[..., tuple[tf.Tensor, tf.Tensor]],
        checkpoints: Checkpoints,
        records: Sequence[Record] = (),
        look: Callable[[int], None] | None = None,
    ):
        """Takes what `make_train_step`, and `begin` where there is a folder, have made.

        `look` is called with the step after each validation, while the model has the averaged weights.
        """
        self.signals: list[int] = []
        self._subject = subject
        self._state = state
        self._config = config
        self._hosts = hosts
        self._train_step = train_step
        self._checkpoints = checkpoints
        self._records = records
        self._begun = False
        self._look = look
        self._values: dict[str, float] = {}  # of this step, for the records

    def run(
        self,
        examples: Examples,
        validation: Examples | None = None,
        outliers: data.Array | None = None,
        progress: bool = True,
    ) -> Outcome:
        """Takes the steps that are left.

        Args:
          examples: What the model is trained on.
          validation: What it is validated on; None for no validation.
          outliers: Images beside the examples, for `objective`; or None.
          progress: Whether to show a progress bar.

        Returns:
          `Outcome`.

        Raises:
          TrainingDiverged: If a loss is not finite or exploded.
          DataError: If images on a disk cannot be read any more.
        """
        sources = examples.sources() | ({} if outliers is None else {"outliers": outliers})
        batches = self._batches(sources, self._step())
        if self._stopped_early():
            return Outcome(self._step())
        with contextlib.ExitStack() as stack:
            self.signals = stack.enter_context(interruption())
            for record in self._records:
                stack.enter_context(record)
            bar = stack.enter_context(self._bar(progress))
            stack.enter_context(data.reading_errors())
            return self._steps(batches, validation, bar)

    def _steps(
        self, batches: tf.distribute.DistributedDataset, validation: Examples | None, bar: tqdm.tqdm
    ) -> Outcome:
        config = self._config
        agenda = Agenda(config.steps, config.log_every, config.validate_every, config.checkpoint_every)
        leaving, self._clock, self._clock_step = False, time.perf_counter(), self._step()
        for batch in batches if self._step() < config.steps else ():
            step = self._one_step(batch, bar)
            due = agenda.due(step)
            if not (self._begun or due.log):  # the first step is traced and compiled
                self._clock, self._clock_step = time.perf_counter(), step
            self._begun = True
            if due.log:
                self._log(step)
            stop = validation is not None and due.validate and self._validate(step, validation)
            self._tell(step)
            leaving = self._hosts.mean(len(self.signals)) > 0
            end = due.end or stop or leaving
            if due.save or end:
                self._save(step, batch)
            if stop and not bar.disable:
                bar.write(f"Stopped early at step {step}: no better validation score.")
            if end:
                break
        # Another host's signal is taken for the one that a cluster's manager sends.
        since_best, best = int(self._state.since_best.numpy()), float(self._state.best.numpy())
        improving = config.early_stopping > 0 and since_best == 0 and math.isfinite(best)
        return Outcome(self._step(), [*self.signals, signal.SIGTERM][0] if leaving else 0, improving)

    def _step(self) -> int:
        return int(self._state.step.numpy())

    def _bar(self, progress: bool) -> tqdm.tqdm:
        return tqdm.tqdm(
            total=self._config.steps,
            initial=self._step(),
            unit="step",
            disable=not (progress and self._hosts.is_chief),
            smoothing=0.05,
        )

    def _batches(self, sources: dict[str, data.Array], start: int) -> tf.distribute.DistributedDataset:
        """The batches from `start` on, of all sources: what this host's replicas take of them."""
        config, num_parts = self._config, self._hosts.strategy.num_replicas_in_sync

        def of_host(context: tf.distribute.InputContext) -> tf.data.Dataset:
            own = num_parts // context.num_input_pipelines
            parts = range(own * context.input_pipeline_id, own * (context.input_pipeline_id + 1))
            # Without end: hosts that share a finite one ask each other at every step whether it ended.
            batches = {
                name: data.shuffled_batches(
                    array, config.batch_size, config.seed, start, parts=parts, num_parts=num_parts
                )
                for name, array in sources.items()
            }
            return tf.data.Dataset.zip(batches)

        return self._hosts.strategy.distribute_datasets_from_function(of_host)

    def _one_step(self, batch: dict[str, tf.Tensor], bar: tqdm.tqdm) -> int:
        loss, norm = (float(value) for value in self._train_step(**batch))
        step = self._step()
        self._check(step, loss, norm)
        self._state.window.assign_add([1.0, loss, norm])
        bar.set_postfix_str(f"{loss:.3f} {self._subject.unit.label}", refresh=False)
        bar.update()
        return step

    def _check(self, step: int, loss: float, norm: float = 0.0) -> None:
        unit = self._subject.unit
        if not (math.isfinite(norm) and math.isfinite(loss) and loss < unit.exploded):
            raise TrainingDiverged(
                f"diverged at step {step}: {loss:.4g} {unit.label}, gradient norm {norm:.4g}; "
                f"{self._checkpoints.whereabouts()}try a lower `learning_rate`, a longer `warmup` or a "
                f"`clip_norm`{self._checkpoints.other_settings()}."
            )

    def _log(self, step: int) -> None:
        count, loss, norm = self._state.window.numpy()
        now, unit = time.perf_counter(), self._subject.unit
        rate = (step - self._clock_step) * self._config.batch_size / (now - self._clock)
        self._clock, self._clock_step = now, step
        self._values |= {
            unit.name: loss / count,
            "gradient_norm": norm / count,
            "learning_rate": float(self._state.optimizer.lr(step - 1)),
            f"{unit.examples}_per_second": rate,
        }
        self._state.window.assign(tf.zeros([3], tf.float64))

    def _tell(self, step: int) -> None:
        """Tells the records what there is to tell of a step."""
        if self._values:
            for record in self._records:
                record.add(step, **self._values)
        self._values = {}

    def _save(self, step: int, batch: dict[str, tf.Tensor]) -> None:
        # The loss of a step is that of the weights before it: the new ones are tried out here.
        local = self._hosts.strategy.experimental_local_results
        tried = [local(batch[name])[0] for name in ("images", "condition") if name in batch]
        loss = tf.reduce_mean(self._subject.loss(self._subject.log_prob(*tried)))
        self._check(step, self._hosts.mean(loss))
        for record in self._records:
            record.flush()  # first, so that a checkpoint never lacks the rows before it
        self._checkpoints.save(step)

    def _validate(self, step: int, validation: Examples) -> bool:
        """Scores the averaged weights; returns whether training should stop."""
        started = time.perf_counter()
        with self._state.average:
            score = self._hosts.mean_of_shares(self._losses, validation)
            if self._look is not None:
                self._look(step)
        self._clock += time.perf_counter() - started  # images_per_second is that of training
        self._values[f"validation_{self._subject.unit.name}"] = score
        if not self._config.early_stopping:
            return False
        if score < float(self._state.best.numpy()):
            self._state.best.assign(score)
            self._state.since_best.assign(0)
            self._checkpoints.save_best(step)
        else:
            self._state.since_best.assign_add(1)
        return self._stopped_early()

    def _losses(self, examples: Examples) -> np.ndarray:
        """The loss of each, float64 `[N]`."""
        values = []
        for start in range(0, len(examples), SCORED_AT_ONCE):
            some = examples[start : start + SCORED_AT_ONCE].tensors()
            values.append(self._subject.log_prob(*some).numpy().astype(np.float64))
        return self._subject.loss(np.concatenate(values))

    def _stopped_early(self) -> bool:
        patience = self._config.early_stopping
        return patience > 0 and int(self._state.since_best.numpy()) >= patience
