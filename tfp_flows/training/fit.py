"""Training anything that has a log-density and variables, by the loop of the command."""

import contextlib
import dataclasses
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows import data, runs
from tfp_flows.checks.errors import UserError
from tfp_flows.models import registry
from tfp_flows.models.family import Family
from tfp_flows.training import metrics
from tfp_flows.training.beginning import begin, initialize
from tfp_flows.training.checkpoints import Checkpoints, InMemory
from tfp_flows.training.config import TrainingConfig
from tfp_flows.training.examples import Examples
from tfp_flows.training.history import History
from tfp_flows.training.loop import Loop, Record
from tfp_flows.training.recording import Callbacks, Memory
from tfp_flows.training.state import TrainingState
from tfp_flows.training.step import make_train_step
from tfp_flows.training.strategies import Hosts
from tfp_flows.training.subject import DensityModel, Subject, subject_of, subject_of_stranger

Callback = Callable[[int, Mapping[str, float], Any], object]


def fit(
    model: DensityModel,
    images: data.Array,
    validation_images: data.Array | None = None,
    *,
    steps: int,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    seed: int = 0,
    conditions: data.Array | None = None,
    validation_conditions: data.Array | None = None,
    outlier_images: data.Array | None = None,
    run: str | os.PathLike | None = None,
    dataset: str = "",
    callbacks: Sequence[Callback] = (),
    from_data: bool = True,
    progress: bool = True,
    allow_changed_images: bool = False,
    **settings: Any,
) -> History:
    """Trains a density model by maximum likelihood; its (averaged) trained weights are in it afterwards.

        minimise  L = mean_i -log p(x_i) / D / u

    D is the number of values in an example. For integer images (uint8) u = ln 2, and L is in bits per
    dimension; for anything else u = 1, and L is in nats per dimension. `History.unit` says which.

    The model is one of four kinds.

    - A model of a family (`Dequantized` over any flow, `vae.VAE`, `pixelcnn.PixelCNN`), on uint8 images: it
      is trained as `python -m tfp_flows.train` does, with its noise of training, its bound, its dropout, and
      its data-dependent initialisation.
    - A `vector_flow`, on vectors: by its `log_prob`, from the normal distribution of the data on.
    - Any other `tfd.Distribution` of batch shape `[]`, over vectors, images or what else: by its `log_prob`.
    - A `tf.Module`, or any object with `log_prob(x) -> [B]` and `trainable_variables`.

    #### Example

    ```python
    model = tfp_flows.Dequantized(tfp_flows.glow(tfp_flows.GlowConfig(levels=2), (28, 28, 1)))
    history = tfp_flows.fit(model, images, held_out, steps=2_000, run="runs/mine")
    history.validation[-1].loss                    # bits/dim
    same = tfp_flows.load("runs/mine")

    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), 2), bijector)
    tfp_flows.fit(flow, points, steps=500)         # float32 [N, 2]; nats/dim
    ```

    #### Folders

    With `run` the folder holds the newest checkpoints, `metrics.csv` and TensorBoard events. The same call
    with a fresh model goes on from the newest checkpoint, and gives to the bit what an uninterrupted one
    would have given; on a GPU, where `tf.config.experimental.enable_op_determinism()` was called before; and
    where all that is random in a stranger's model is seeded. Only `steps` may have grown, and the images
    must be the same in the same order, unless `allow_changed_images`. `tfp_flows.load` gives the model of a
    folder where it is of a family and made as its config says. The folder of a stranger's model cannot say
    how it is built: build it as before, and `fit` restores it.

    Without `run` nothing is written, and a second call trains on from the model's weights with a fresh
    optimizer (for a model of a family with `from_data=False`).

    SIGINT, SIGTERM or SIGHUP ends training after the step that it comes in: the state is saved, the weights
    are set, then the signal has its usual effect.

    Args:
      model: The density model; its weights are changed.
      images: Examples `[N, ...]`: uint8 `[N, H, W, C]`, or finite numbers of the event's shape. A file that
        is mapped (`np.load(file, mmap_mode="r")`) and a `data.Stored` are read batch by batch.
      validation_images: Likewise, scored every `validate_every` steps; None for no validation.
      steps: Steps of the optimizer in all.
      learning_rate: At its highest.
      batch_size: Examples in a step.
      seed: Of the data's order and the noise.
      conditions: `[N, ...]`, given as `model.log_prob(x, condition=...)`, to a `tfd.TransformedDistribution`
        as `bijector_kwargs={"condition": ...}`; None for a density that is given nothing.
      validation_conditions: Those of `validation_images`.
      outlier_images: uint8 `[K, H, W, C]` to be made less likely than `images`, by `outlier_margin` and
        `outlier_weight`; see `objective.make_loss`.
      run: Folder; None for none.
      dataset: Name of the images as in `tfp_flows.data`, by which evaluation finds them; for the folder.
      callbacks: Each is called as `callback(step, values, model)` after every step that is logged or
        validated, `values` being those of `History`'s rows by name, with "validation_loss". The model has
        the weights of that step then, not their averages.
      from_data: Whether a model of a family is initialised from data first, where it has such a way.
      progress: Whether to show a progress bar.
      allow_changed_images: Whether a folder's training goes on with other images than before; a warning says
        how many are new, and how many gone.
      **settings: Further fields of `training.TrainingConfig`.

    Returns:
      `History`; with `run` that of the whole run, earlier calls included.

    Raises:
      UserError: If an argument does not fit the model, or makes no sense.
      RunError: If the folder holds something else or was trained on other images, another training writes
        to it, or it cannot be written.
      TrainingDiverged: If the loss is not finite or exploded.
    """
    config = TrainingConfig(steps, batch_size, learning_rate, seed=seed, **_known(settings))
    examples = _examples("images", images, conditions)
    validation = outliers = None
    if validation_images is not None:
        validation = _examples("validation_images", validation_images, validation_conditions)
        _check_like("validation_images", examples, validation)
    if outlier_images is not None:
        outliers = _examples("outlier_images", outlier_images)
        _check_like("outlier_images", examples, outliers)
    _check_settings(config, examples, validation, outliers)
    family = registry.family_of(model)
    subject = _subject(family, model, examples)
    spec = _spec(family, subject, config, dataset)
    stranger = None if spec.family else (model if family else _tracked(model))
    state = TrainingState(model, config, numbered=stranger)
    folder = None if run is None else runs.Run(run)
    if folder and folder.exists():
        spec = dataclasses.replace(spec, division=folder.spec().division)
    with contextlib.ExitStack() as stack:
        if folder is None:
            checkpoints: Checkpoints = InMemory(state, list(_variables(model)))
            initialize(subject, state, config, examples, spec, from_data)
        else:
            hosts = Hosts(tf.distribute.get_strategy())
            lock = stack.enter_context(folder.locked()) if hosts.is_chief else None
            checkpoints = begin(
                folder,
                spec,
                None,
                subject,
                state,
                config,
                examples,
                hosts,
                lock,
                from_data,
                allow_changed_images,
            )
        return _run(
            folder, subject, state, config, checkpoints, callbacks, examples, validation, outliers, progress
        )


def _run(
    folder: runs.Run | None,
    subject: Subject,
    state: TrainingState,
    config: TrainingConfig,
    checkpoints: Checkpoints,
    callbacks: Sequence[Callback],
    examples: Examples,
    validation: Examples | None,
    outliers: Examples | None,
    progress: bool,
) -> History:
    """The loop from where the state is, to the trained weights."""
    memory, names = Memory(), metrics.columns(subject.unit)
    records: list[Record] = [memory, Callbacks(callbacks, subject)]
    if folder:
        start = int(state.step.numpy())
        files = folder.metrics_file, folder.events
        records.insert(0, metrics.Metrics(*files, start, names, config.log_every))
    train_step = make_train_step(subject, state, config)
    hosts = Hosts(tf.distribute.get_strategy())
    loop = Loop(subject, state, config, hosts, train_step, checkpoints, records)
    outcome = loop.run(examples, validation, outliers.values if outliers else None, progress)
    checkpoints.to_trained()
    if outcome.interrupted:
        signal.raise_signal(outcome.interrupted)
    rows = metrics.read(folder.metrics_file, names) if folder else memory.rows
    return History.of(rows, subject.unit, outcome.step)


def _known(settings: dict[str, Any]) -> dict[str, Any]:
    known = [field.name for field in dataclasses.fields(TrainingConfig)]
    for name in settings:
        if name not in known:
            raise UserError(
                f"`{name}` is no argument of fit and no setting of training: {', '.join(known)}."
            )
    return settings


def _examples(name: str, values: data.Array, condition: data.Array | None = None) -> Examples:
    values = data.as_array(values)
    if values.dtype.kind not in "iuf" or values.ndim < 1 or 0 in values.shape:
        raise UserError(
            f"`{name}` must be an array of numbers [N, ...], N > 0, got {values.dtype} {list(values.shape)}."
        )
    if values.dtype.kind == "f" and not all(np.isfinite(chunk).all() for chunk in data.chunks(values)):
        raise UserError(f"`{name}` has values that are not finite.")
    if condition is not None:
        condition = data.as_array(condition)
        if condition.shape[:1] != values.shape[:1]:
            raise UserError(
                f"`{name}` are {len(values)}, but their conditions have shape {list(condition.shape)}."
            )
    return Examples(values, condition)


def _check_like(name: str, examples: Examples, others: Examples) -> None:
    expected, values = examples.values, others.values
    if (values.shape[1:], values.dtype) != (expected.shape[1:], expected.dtype):
        raise UserError(
            f"`{name}` must be like `images`, {expected.dtype} {['N', *expected.shape[1:]]}, "
            f"got {values.dtype} {list(values.shape)}."
        )


def _check_settings(
    config: TrainingConfig,
    examples: Examples,
    validation: Examples | None,
    outliers: Examples | None,
) -> None:
    if config.early_stopping and validation is None:
        raise UserError("`early_stopping` needs `validation_images`.")
    if validation is not None and (validation.condition is None) != (examples.condition is None):
        raise UserError("`conditions` and `validation_conditions` must be given together.")
    if config.outlier_dataset and outliers is None:
        raise UserError("`outlier_dataset` only names them: give `outlier_images`, an array.")
    if outliers is not None and examples.condition is not None:
        raise UserError("`outlier_images` have no `conditions`: only one of the two can be given.")
    if config.outlier_kinds and examples.condition is not None:
        raise UserError("`outlier_kinds` have no `conditions`: only one of the two can be given.")
    if config.inverse_penalty and examples.condition is not None:
        raise UserError("`inverse_penalty` is for a flow that is given no `conditions`.")
    for name in ("mutation_rate", "outlier_kinds", "flip"):
        if getattr(config, name) and examples.values.dtype != np.uint8:
            raise UserError(f"`{name}` is for uint8 images.")
    for name in ("outlier_kinds", "flip"):
        if getattr(config, name) and examples.values.ndim != 4:
            raise UserError(f"`{name}` is for images [N, H, W, C], got {list(examples.values.shape)}.")
    if config.flip and examples.condition is not None and examples.condition.ndim > 2:
        raise UserError("`flip` turns images alone: it cannot be used with `conditions` by position.")


def _subject(family: Family | None, model: DensityModel, examples: Examples) -> Subject:
    batch_shape = tf.TensorShape(getattr(model, "batch_shape", ()))
    if batch_shape.rank:
        raise UserError(
            f"`model` has batch shape {batch_shape}; tfd.Independent or tfd.Sample makes one event of it."
        )
    event_shape = tf.TensorShape(getattr(model, "event_shape", None))
    if not event_shape.is_compatible_with(examples.values.shape[1:]):
        raise UserError(
            f"`images` must be [N, ...] with examples of the model's event shape {event_shape}, "
            f"got {list(examples.values.shape)}."
        )
    if family is None:
        return subject_of_stranger(model, examples)
    if family.name != registry.VECTORS and examples.values.dtype != np.uint8:
        raise UserError(
            f"`images` must be uint8 for a {type(model).__name__}, got {examples.values.dtype}; a flow over "
            f"continuous values is trained as it is, not in a Dequantized."
        )
    return subject_of(family, model, examples)


def _variables(model: DensityModel) -> Sequence[tf.Variable]:
    return getattr(model, "variables", model.trainable_variables)


def _tracked(model: DensityModel) -> tf.Module:
    """A stranger's variables in their order: what tracks the model itself may miss some of them."""
    holder = tf.Module(name="model")
    holder.weights = list(_variables(model))
    return holder


def _spec(family: Family | None, subject: Subject, config: TrainingConfig, dataset: str) -> runs.RunSpec:
    model_config = family.config_of(subject.model) if family else None
    name = registry.NO_FAMILY if model_config is None or family is None else family.name
    if model_config is None:
        shapes = [f"{v.dtype.name}{list(v.shape)}" for v in _variables(subject.model)]
        model_config = {"class": type(subject.model).__name__, "variables": shapes}
    return runs.RunSpec(name, model_config, dict(vars(config)), dataset, subject.event_shape)
