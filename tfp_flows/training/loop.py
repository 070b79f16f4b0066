"""The training loop: one for every family, resumable to the bit.

Everything random is a function of the seed and the step: the order of the data, the dequantisation
noise, the initial weights. A checkpoint holds the whole state, so a run that was killed and resumed
gives the losses that an uninterrupted one would have given.
"""

import contextlib
import dataclasses
import math
import signal
import time
from typing import NamedTuple

import tensorflow as tf
import tqdm

from tfp_flows import data, evaluation, runs
from tfp_flows.checks.errors import UserError
from tfp_flows.models import registry
from tfp_flows.numerics import quantization
from tfp_flows.training import strategies
from tfp_flows.training.config import TrainingConfig
from tfp_flows.training.metrics import Metrics, NoMetrics
from tfp_flows.training.state import TrainingState
from tfp_flows.training.step import make_train_step

EXPLODED_BITS_PER_DIM = 100.0


class TrainingDiverged(UserError):
    """The loss or the gradient is no longer finite, or the loss exploded; the message is one line."""


class Outcome(NamedTuple):
    """How training ended: the step it reached, and whether a signal ended it."""

    step: int
    interrupted: bool


def train(
    run,
    spec,
    flags_text,
    train_images,
    validation_images,
    progress=True,
    outlier_images=None,
    strategy=None,
    parts_per_replica=1,
):
    """Trains a run from its beginning or its last checkpoint to `steps`.

    With a strategy of several hosts each of them calls this with the same arguments, and a `run` in a
    folder that they share: the chief alone writes, all read its checkpoints.

    Args:
      run: `runs.Run`.
      spec: `runs.RunSpec`; must be the folder's own where the run was begun before.
      flags_text: Contents of the flag file that repeats the run.
      train_images: uint8 `[N, H, W, C]`.
      validation_images: uint8 `[M, H, W, C]`, for validation and early stopping.
      progress: Whether to show a progress bar.
      outlier_images: uint8 `[K, H, W, C]`, with `outlier_dataset`; see `objective`.
      strategy: From `strategies.make_strategy`; None for the current one.
      parts_per_replica: In how many parts each replica computes its images, side by side; see `parts`.

    Returns:
      `Outcome`; its step is `steps`, or less after early stopping or an interruption.

    Raises:
      RunError: If the folder holds another run, or its checkpoint or that of `init_from` cannot be read.
      ValueError: If the batch cannot be cut into equal parts.
      TrainingDiverged: If the loss is not finite or exploded; the last checkpoint is intact.
      HostLost: If another host is gone; the last checkpoint is intact.
    """
    tf.config.experimental.enable_op_determinism()
    config = TrainingConfig(**spec.training)
    hosts = strategies.Hosts(strategy or tf.distribute.get_strategy())
    _check_parts(config.batch_size, hosts.strategy.num_replicas_in_sync, parts_per_replica)
    losing_hosts = strategies.losing_hosts() if hosts.count > 1 else contextlib.nullcontext()
    with losing_hosts:
        state, manager = _begin(run, spec, flags_text, config, train_images, hosts)
        family = registry.family(spec.family)
        step = make_train_step(family, state, config, spec.image_shape, hosts.strategy, parts_per_replica)
        loop = _Loop(run, state, manager, config, spec.image_shape, hosts, step)
        return loop.run(train_images, validation_images, progress, outlier_images)


def _check_parts(batch_size, num_replicas, parts_per_replica):
    if parts_per_replica > 1 and batch_size % (num_replicas * parts_per_replica):
        shared = f" of {num_replicas} devices" if num_replicas > 1 else ""
        raise UserError(
            f"`batch_size={batch_size}` cannot be cut into `parts={parts_per_replica}` equal parts{shared}."
        )


def _begin(run, spec, flags_text, config, train_images, hosts):
    """(state, checkpoint manager) of a new run, or of one as its last checkpoint left it."""
    family = registry.family(spec.family)
    with hosts.strategy.scope():
        model = family.build(spec.model, spec.image_shape, family.training_protocol(spec.model))
        state = TrainingState(model, config)
    if run.exists():
        run.check_same(spec, _defaults())
    if hosts.is_chief:
        _begin_folder(run, spec, flags_text)
        manager = _restore_or_initialize(run, family, state, config, train_images, spec)
    step = hosts.value_of_chief(state.step.numpy())
    if not hosts.is_chief:
        manager = tf.train.CheckpointManager(state, run.checkpoints, max_to_keep=2)
        path = run.checkpoints / f"ckpt-{step}"
        if not path.with_suffix(".index").exists():
            raise runs.RunError(
                f"`run`: the chief host goes on from {path}, which is not there on this one; name a folder "
                f"that all hosts share."
            )
        _restore(state, str(path))
    return state, manager


def _begin_folder(run, spec, flags_text):
    if run.exists():
        run.write(spec, flags_text)
    else:
        run.create(spec, flags_text)


def _restore_or_initialize(run, family, state, config, train_images, spec):
    """The checkpoint manager; `state` becomes that of the newest checkpoint, or of step 0, saved."""
    manager = tf.train.CheckpointManager(state, run.checkpoints, max_to_keep=2)
    if manager.latest_checkpoint:
        _restore(state, manager.latest_checkpoint)
    elif any(run.checkpoints.glob("*.index")):
        raise runs.RunError(
            f"`run`: {run.checkpoints / 'checkpoint'}, which names the newest checkpoint, is damaged; "
            f'write model_checkpoint_path: "ckpt-N" into it, N being the largest number there is.'
        )
    else:
        initialize(family, state, config, train_images, spec)
        manager.save(checkpoint_number=0)
    return manager


class _Loop:
    """The loop over steps, with its records."""

    def __init__(self, run, state, manager, config, image_shape, hosts, train_step):
        self._run = run
        self._state = state
        self._manager = manager
        self._config = config
        self._image_shape = image_shape
        self._hosts = hosts
        self._train_step = train_step
        self._log_prob = evaluation.compiled_log_prob(state.model)

    def run(self, train_images, validation_images, progress, outlier_images):
        config, state = self._config, self._state
        start, leaving = int(state.step.numpy()), False
        sources = [images for images in (train_images, outlier_images) if images is not None]
        batches = self._batches(sources, start)
        if self._stopped_early():
            return Outcome(start, interrupted=False)
        with (
            _interruption() as interrupted,
            self._metrics(start) as metrics,
            tqdm.tqdm(
                total=config.steps,
                initial=start,
                unit="step",
                disable=not (progress and self._hosts.is_chief),
                smoothing=0.05,
            ) as bar,
        ):
            self._clock, self._clock_step = time.perf_counter(), start
            for batch in batches if start < config.steps else ():
                images = batch[0]
                step = self._one_step(batch, bar)
                if step % config.log_every == 0 or step == config.steps:
                    self._log(step, metrics)
                stop = self._validation_due(step) and self._validate(step, validation_images, metrics)
                leaving = self._hosts.mean(len(interrupted)) > 0
                last = stop or leaving or step == config.steps
                if last or step % config.checkpoint_every == 0:
                    self._save(step, images, metrics)
                if stop and self._hosts.is_chief:
                    bar.write(f"Stopped early at step {step}: no better validation score.")
                if last:
                    break
            step = int(state.step.numpy())
        return Outcome(step, interrupted=leaving)

    def _metrics(self, start):
        if not self._hosts.is_chief:
            return NoMetrics()
        return Metrics(self._run.metrics_file, self._run.events, start)

    def _batches(self, sources, start):
        """The batches from `start` on, of all sources: what this host's replicas take of them."""
        config, num_parts = self._config, self._hosts.strategy.num_replicas_in_sync

        def of_host(context):
            own = num_parts // context.num_input_pipelines
            parts = range(own * context.input_pipeline_id, own * (context.input_pipeline_id + 1))
            # Without end: hosts that share a finite one ask each other at every step whether it ended.
            batches = [
                data.training_batches(
                    images, config.batch_size, config.seed, start, parts=parts, num_parts=num_parts
                )
                for images in sources
            ]
            return tf.data.Dataset.zip(tuple(batches))

        return self._hosts.strategy.distribute_datasets_from_function(of_host)

    def _save(self, step, images, metrics):
        # The loss of a step is that of the weights before it: the new ones are tried out here.
        log_prob = self._log_prob(self._hosts.strategy.experimental_local_results(images)[0])
        bits = tf.reduce_mean(quantization.bits_per_dim(log_prob, self._image_shape))
        self._check(step, self._hosts.mean(bits))
        metrics.flush()  # first, so that a checkpoint never lacks the rows before it
        if self._hosts.is_chief:
            self._manager.save(checkpoint_number=step)

    def _one_step(self, batch, bar):
        loss, norm = (float(value) for value in self._train_step(*batch))
        step = int(self._state.step.numpy())
        self._check(step, loss, norm)
        self._state.window.assign_add([1.0, loss, norm])
        bar.set_postfix_str(f"{loss:.3f} bits/dim", refresh=False)
        bar.update()
        return step

    def _check(self, step, loss, norm=0.0):
        if not (math.isfinite(norm) and loss < EXPLODED_BITS_PER_DIM):
            raise TrainingDiverged(
                f"diverged at step {step}: {loss:.4g} bits/dim, gradient norm {norm:.4g}; the last "
                f"good checkpoint, {self._manager.latest_checkpoint}, is intact; try a lower "
                f"`learning_rate`, a longer `warmup` or a `clip_norm`."
            )

    def _log(self, step, metrics):
        count, loss, norm = self._state.window.numpy()
        now = time.perf_counter()
        rate = (step - self._clock_step) * self._config.batch_size / (now - self._clock)
        self._clock, self._clock_step = now, step
        learning_rate = float(self._state.optimizer.lr(step - 1))
        metrics.add(
            step,
            bits_per_dim=loss / count,
            gradient_norm=norm / count,
            learning_rate=learning_rate,
            images_per_second=rate,
        )
        self._state.window.assign(tf.zeros([3], tf.float64))

    def _validation_due(self, step):
        every = self._config.validate_every
        return every > 0 and (step % every == 0 or step == self._config.steps)

    def _validate(self, step, images, metrics):
        """Scores the averaged weights; returns whether training should stop."""
        state = self._state
        started = time.perf_counter()
        with state.average:
            score = self._hosts.mean_of_shares(self._bits_per_dim, images)
        self._clock += time.perf_counter() - started  # images_per_second is that of training
        metrics.add(step, validation_bits_per_dim=score)
        if not self._config.early_stopping:
            return False
        if score < float(state.best.numpy()):
            state.best.assign(score)
            state.since_best.assign(0)
            if self._hosts.is_chief:
                best = tf.train.CheckpointManager(state, self._run.best, max_to_keep=1)
                best.save(checkpoint_number=step)
        else:
            state.since_best.assign_add(1)
        return self._stopped_early()

    def _bits_per_dim(self, images):
        return quantization.bits_per_dim(evaluation.log_probs(self._log_prob, images), self._image_shape)

    def _stopped_early(self):
        patience = self._config.early_stopping
        return patience > 0 and int(self._state.since_best.numpy()) >= patience


def _defaults():
    """What a run means that was begun before a setting existed."""
    return {f"training.{field.name}": field.default for field in dataclasses.fields(TrainingConfig)}


def initialize(family, state, config, images, spec):
    """Sets a fresh state's weights: another run's, or data-dependent ones from the first training images.

    Args:
      family: `Family` of the model.
      state: `TrainingState`.
      config: `TrainingConfig`.
      images: Training images, uint8 `[N, H, W, C]`.
      spec: `runs.RunSpec`, for `init_from`.
    """
    if config.init_from:
        source = runs.load_twin(runs.Run(config.init_from), spec)
        for variable, value in zip(state.model.variables, source.variables, strict=True):
            variable.assign(value)
        state.average.reset()
        return
    count = min(len(images), max(256, config.batch_size))
    batch = next(iter(data.training_batches(images, count, config.seed, 0, 1)))
    family.initialize(state.model, batch, tf.constant([config.seed, -1], tf.int64))
    state.average.reset()


def _restore(state, path):
    try:
        state.restore(path).assert_consumed()
    except runs.UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise runs.RunError(f"`run`: the checkpoint {path} cannot be read: {reason}") from error


@contextlib.contextmanager
def _interruption():
    """A list that is no longer empty once SIGINT or SIGTERM came; a second signal acts at once."""
    received = []
    handlers = {}

    def note(number, frame):
        received.append(number)
        signal.signal(number, handlers[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        handlers[number] = signal.getsignal(number)
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
