"""A run of one of the model families, trained from its beginning or its last checkpoint."""

import contextlib

import tensorflow as tf

from tfp_flows import data, runs
from tfp_flows.checks import sizes
from tfp_flows.training import strategies
from tfp_flows.training.announcing import Announcement
from tfp_flows.training.beginning import begin
from tfp_flows.training.config import TrainingConfig, check_parts
from tfp_flows.training.examples import Examples
from tfp_flows.training.looks import Looks, Shown
from tfp_flows.training.loop import Loop, Outcome, Record
from tfp_flows.training.metrics import Metrics, columns
from tfp_flows.training.state import TrainingState
from tfp_flows.training.step import make_train_step
from tfp_flows.training.subject import subject_of


def train(
    run: runs.Run,
    spec: runs.RunSpec,
    flags_text: str,
    train_images: data.Array,
    validation_images: data.Array,
    progress: bool = True,
    outlier_images: data.Array | None = None,
    strategy: tf.distribute.Strategy | None = None,
    parts_per_replica: int = 1,
    allow_changed_images: bool = False,
    shown: Shown | None = None,
    conditions: data.Array | None = None,
    validation_conditions: data.Array | None = None,
) -> Outcome:
    """Trains a run from its beginning or its last checkpoint to `steps`.

    With a strategy of several hosts each of them calls this with the same arguments, and a `run` in a
    folder that they share: the chief alone writes, all read its checkpoints.

    On a GPU a resumed run goes on to the bit where `tf.config.experimental.enable_op_determinism()` was
    called before, as the command does; on a CPU it always does.

    Args:
      run: `runs.Run`.
      spec: `runs.RunSpec`; must be the folder's own where the run was begun before.
      flags_text: Contents of the flag file that repeats the run.
      train_images: uint8 `[N, H, W, C]`, or vectors `[N, D]`; a `data.Stored`, or a mapped file, is read
        batch by batch.
      validation_images: Likewise, M of them, for validation and early stopping.
      progress: Whether to show a progress bar.
      outlier_images: uint8 `[K, H, W, C]`, with `outlier_dataset`; see `objective`.
      strategy: From `strategies.make_strategy`; None for the current one.
      parts_per_replica: In how many parts each replica computes its images, side by side; see `parts`.
      allow_changed_images: Whether a run goes on with other images than it was trained on so far.
      shown: What TensorBoard shows beside the numbers, after each validation; None for nothing. See `Looks`.
      conditions: What the density of each training image is given, `[N, ...]`: with `spec.classes` the
        index of its class; None for nothing.
      validation_conditions: Likewise `[M, ...]`.

    Returns:
      `Outcome`; its step is `steps`, or less after early stopping or an interruption.

    Raises:
      RunError: If the folder holds another run or its images are not those that it was trained on, another
        training writes to it, it cannot be written, or its checkpoints or that of `init_from` are damaged.
      UserError: If the batch cannot be cut into equal parts, or is too large.
      TrainingDiverged: If the loss is not finite or exploded; the last checkpoint is intact.
      HostLost: If another host is gone; the last checkpoint is intact.
    """
    config = TrainingConfig(**spec.training)
    sizes.check_batch_size(config.batch_size, spec.image_shape)
    spec.check_weights(None, "`run`")
    hosts = strategies.Hosts(strategy or tf.distribute.get_strategy())
    check_parts(config.batch_size, hosts.strategy.num_replicas_in_sync, parts_per_replica)
    examples = Examples(train_images, conditions)
    validation = Examples(validation_images, validation_conditions)
    with contextlib.ExitStack() as stack:
        if hosts.count > 1:
            stack.enter_context(strategies.losing_hosts())
        family = spec.model_family
        with hosts.strategy.scope():
            model = family.build(spec.model, spec.image_shape, family.training_protocol(spec.model))
            state = TrainingState(model, config)
        trained = subject_of(family, model, examples)
        lock = stack.enter_context(run.locked()) if hosts.is_chief else None
        checkpoints = begin(
            run,
            spec,
            flags_text,
            trained,
            state,
            config,
            examples,
            hosts,
            lock,
            allow_changed_images=allow_changed_images,
        )
        step = make_train_step(trained, state, config, hosts.strategy, parts_per_replica)
        start = int(state.step.numpy())
        names = columns(trained.unit)
        metrics = Metrics(run.metrics_file, run.events, start, names, config.log_every)
        records: list[Record] = [metrics] if hosts.is_chief else []
        if hosts.is_chief and progress:
            records.append(Announcement(family.name, trained, config, start))
        look = None
        if hosts.is_chief and shown is not None:
            looks = Looks(trained, metrics, validation_images, shown, flags_text, start)
            records.append(looks)
            look = looks.look
        loop = Loop(trained, state, config, hosts, step, checkpoints, records, look)
        return loop.run(examples, validation, outlier_images, progress)
