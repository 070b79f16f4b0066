"""How a training begins: where its folder's newest checkpoint left it, or with initialised weights."""

import dataclasses
import warnings

import tensorflow as tf

from tfp_flows import data, runs
from tfp_flows.checks.errors import UserError
from tfp_flows.models import registry
from tfp_flows.training.checkpoints import InFolder
from tfp_flows.training.config import TrainingConfig
from tfp_flows.training.examples import Examples
from tfp_flows.training.state import TrainingState
from tfp_flows.training.strategies import Hosts
from tfp_flows.training.subject import Subject


def begin(
    run: runs.Run,
    spec: runs.RunSpec,
    flags_text: str | None,
    subject: Subject,
    state: TrainingState,
    config: TrainingConfig,
    examples: Examples,
    hosts: Hosts,
    lock: runs.Lock | None,
    from_data: bool = True,
    allow_changed_images: bool = False,
) -> InFolder:
    """Makes or checks a run's folder, and sets `state` to its newest good checkpoint's, or that of step 0.

    Args:
      run: The run.
      spec: What it is; must be the folder's own where it was begun before.
      flags_text: Contents of the flag file that repeats it; None for none.
      subject: What is trained.
      state: Its fresh state.
      config: The settings.
      examples: What it is trained on.
      hosts: Who shares the training: the chief alone writes, all others read what it wrote.
      lock: The run's, of the chief; None for others.
      from_data: Whether a new run's weights are initialised; else they stay as they are.
      allow_changed_images: Whether the run goes on where its images are not those that it was trained on;
        a warning says what has changed.

    Returns:
      The folder's checkpoints, of which there is one at least.

    Raises:
      RunError: If the folder holds another run, its images are not those that it was trained on, or a
        checkpoint cannot be read.
    """
    if run.has_weights_alone():
        raise runs.RunError(
            f"`run`: {run.folder} is a trained model without the state of its training, which cannot go on; "
            f"a new run of the same settings starts from its weights with `init_from={run.folder}`."
        )
    images = runs.TrainedOn.of(examples.values, examples.condition)
    known, grown = run.exists(), False
    if known:
        run.check_same(spec, defaults())
        images = _going_on(run, images, allow_changed_images)
        grown = run.spec().training["steps"] < config.steps
    spec = dataclasses.replace(spec, trained_on=images.digest)
    checkpoints = InFolder(run, state, lock)
    if hosts.is_chief:
        if not known:
            _begin_folder(run, spec, flags_text, images)
        if not checkpoints.restore_newest():
            initialize(subject, state, config, examples, spec, from_data)
            checkpoints.save(0)
        elif grown and config.early_stopping:
            state.be_patient(config)
            checkpoints.save(int(state.step.numpy()))
        if known:  # last: until then nothing says that it has grown
            _begin_folder(run, spec, flags_text, images)
    step = hosts.value_of_chief(state.step.numpy())
    if not hosts.is_chief:
        checkpoints.restore(step)
    return checkpoints


def initialize(
    subject: Subject,
    state: TrainingState,
    config: TrainingConfig,
    examples: Examples,
    spec: runs.RunSpec,
    from_data: bool = True,
) -> None:
    """Sets a fresh state's weights: another run's, or data-dependent ones from the first training images.

    Args:
      subject: What is trained.
      state: Its fresh state.
      config: The settings.
      examples: What it is trained on.
      spec: What its run is, for `init_from`.
      from_data: Whether they are initialised from data; else they stay as they are.
    """
    if config.init_from:
        if spec.family == registry.NO_FAMILY:
            raise UserError("`init_from` is for models that a family's config makes.")
        source = runs.load_twin(runs.Run(config.init_from), spec)
        for variable, value in zip(state.model.variables, source.variables, strict=True):
            variable.assign(value)
    elif from_data:
        count = min(len(examples), max(subject.initial, config.batch_size))
        batch = {
            name: next(iter(data.shuffled_batches(array, count, config.seed, 0, 1)))
            for name, array in examples.sources().items()
        }
        subject.initialize(batch.pop("images"), tf.constant([config.seed, -1], tf.int64), **batch)
    state.average.reset()


def defaults() -> dict[str, object]:
    """What a run means that was begun before a setting existed, as `runs.Run.check_same` takes it."""
    return {f"training.{field.name}": field.default for field in dataclasses.fields(TrainingConfig)}


def _going_on(run: runs.Run, images: runs.TrainedOn, allow_changed_images: bool) -> runs.TrainedOn:
    """What a run will have been trained on, that goes on with these images."""
    before = run.trained_on()
    if before is None:
        return images
    changed = before.difference(images)
    if changed and not allow_changed_images:
        raise runs.RunError(
            f"`run`: {run.folder} was trained on other images: {changed}. `allow_changed_images` goes on "
            f"with those that are there; else bring the others back, or choose another `run`."
        )
    if changed:
        warnings.warn(
            f"{run.folder} goes on with other images: {changed}; it is no longer what one training makes.",
            data.DataWarning,
            stacklevel=2,
        )
    return before.then(images)


def _begin_folder(run: runs.Run, spec: runs.RunSpec, flags_text: str | None, images: runs.TrainedOn) -> None:
    if run.exists():
        images.write(run.trained_on_file)  # before the digest: what is lost between them is said once more
        run.write(spec, flags_text)
    else:
        run.create(spec, flags_text)
        images.write(run.trained_on_file)
