"""What is trained: a density model, how it is scored in training and in validation, and in which unit."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tfp_flows import evaluation
from tfp_flows.checks.errors import UserError
from tfp_flows.distributions.protocols import ChangeOfVariables
from tfp_flows.models import registry
from tfp_flows.models.family import Family
from tfp_flows.training import units
from tfp_flows.training.examples import Examples

INITIAL, INITIAL_VECTORS = 256, 10_000


class DensityModel(Protocol):
    """Anything that has a log-density and variables: a `tfd.Distribution`, a `tf.Module`."""

    @property
    def trainable_variables(self) -> Sequence[tf.Variable]:
        """The weights."""

    def log_prob(self, value: tf.Tensor) -> tf.Tensor:
        """Nats, one number an event."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A density model as training sees it.

    Attributes:
      model: The model.
      event_shape: Of one example.
      dtype: Floating type of its log-probabilities.
      unit: Of its losses.
      training_log_prob: `(examples, seed, condition=...) -> [B]`, nats, with the noise of training; without
        `condition` where the density is given nothing.
      initialize: `(examples, seed, condition=...) -> None`, data-dependent initialisation from a batch.
      log_prob: Compiled `(examples, condition) -> [B]`, nats, as in an evaluation; likewise.
      initial: How many examples `initialize` is given at most, or a batch if that is more.
      marginal: The same of examples whose condition is not known; None where there is no condition.
      autograph: Whether TensorFlow rewrites the model's Python (`if` and `for` over tensors), which a
        stranger's may need; of this package's own, that takes two thirds of the time until the first step.
    """

    model: DensityModel
    event_shape: tuple[int, ...]
    dtype: tf.DType
    unit: units.Unit
    training_log_prob: Callable[..., tf.Tensor]
    initialize: Callable[..., None]
    log_prob: Callable[..., tf.Tensor]
    initial: int = INITIAL
    marginal: Callable[[tf.Tensor], tf.Tensor] | None = None
    autograph: bool = False

    def loss(self, log_prob: tf.Tensor | np.ndarray) -> tf.Tensor | np.ndarray:
        """A log-probability in nats as a loss, in the subject's unit."""
        return self.unit.of(log_prob, self.event_shape)


def subject_of(family: Family, model: Any, examples: Examples) -> Subject:
    """A model of a family, over integer images or over vectors.

    Args:
      family: The model's family.
      model: As `family.build` makes it.
      examples: Some of those that it will be trained on.
    """
    if family.name == registry.VECTORS:
        return subject_of_vectors(family, model, examples)
    return subject_of_family(family, model, examples)


def subject_of_family(family: Family, model: Any, examples: Examples | None = None) -> Subject:
    """A model over integer images, trained as its family trains: its noise, its bound, its initialisation.

    Args:
      family: The model's family.
      model: As `family.build` makes it.
      examples: Some of those that it will be trained on, where they have conditions.
    """
    log_prob, marginal = evaluation.compiled_log_prob(model), None
    if examples is not None and examples.condition is not None:
        marginal = log_prob
        log_prob = _compiled(lambda images, condition: model.log_prob(images, condition=condition), examples)
    return Subject(
        model=model,
        event_shape=tuple(model.event_shape),
        dtype=model.dtype,
        unit=units.BITS_PER_DIM,
        training_log_prob=functools.partial(family.training_log_prob, model),
        initialize=functools.partial(family.initialize, model),
        log_prob=log_prob,
        marginal=marginal,
    )


def subject_of_vectors(family: Family, model: DensityModel, examples: Examples) -> Subject:
    """A flow over vectors: by its own `log_prob`, from the data-dependent initialisation of its family.

    Raises:
      UserError: As `subject_of_stranger`.
    """
    subject = subject_of_stranger(model, examples, autograph=False)
    initialize = functools.partial(family.initialize, model)
    return dataclasses.replace(subject, initialize=initialize, initial=INITIAL_VECTORS)


def subject_of_stranger(model: DensityModel, examples: Examples, autograph: bool = True) -> Subject:
    """Any model, trained by its own `log_prob`.

    Args:
      model: Anything with `log_prob` and `trainable_variables`; its variables may be made by the first call.
      examples: Some of those that it will be trained on.
      autograph: As `Subject` has it.

    Raises:
      UserError: If it has no weights, or gives another shape than one number an example.
    """
    dtype = _dtype(model)

    def log_prob(values: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        if dtype is not None and values.dtype != dtype:
            values = tf.cast(values, dtype)
        given: dict = {} if condition is None else {"condition": condition}
        if given and isinstance(model, ChangeOfVariables):  # which leaves other arguments unread
            given = {"bijector_kwargs": given}
        # Another tensor at each call, or TFP's bijectors give an earlier call's result.
        found = model.log_prob(tf.identity(values), **given)
        if found.shape.rank is not None and found.shape.rank != 1:
            raise UserError(
                f"`model`: its log_prob must give one number an example, [B], but gives {found.shape} for "
                f"{values.shape}; tfd.Independent or tfd.Sample makes one event of several."
            )
        return found

    def training_log_prob(
        values: tf.Tensor, seed: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tf.Tensor:
        del seed
        return log_prob(values, condition)

    found = log_prob(*examples[:2].tensors())
    if not model.trainable_variables:
        raise UserError(f"`model`: {type(model).__name__} has no trainable variables.")
    is_image = examples.values.dtype == np.uint8
    return Subject(
        model=model,
        event_shape=examples.values.shape[1:],
        dtype=found.dtype,
        unit=units.BITS_PER_DIM if is_image else units.NATS_PER_DIM,
        training_log_prob=training_log_prob,
        initialize=lambda *examples, **condition: None,
        log_prob=_compiled(log_prob, examples, autograph),
        autograph=autograph,
    )


def _dtype(model: DensityModel) -> tf.DType | None:
    """The type that the model takes its events in; None if it does not say."""
    dtype = getattr(model, "dtype", None)
    if dtype is None and model.trainable_variables:
        dtype = model.trainable_variables[0].dtype
    try:
        return None if dtype is None else tf.as_dtype(dtype)
    except TypeError:  # a joint distribution's, of several
        return None


def _compiled(
    log_prob: Callable[..., tf.Tensor], examples: Examples, autograph: bool = False
) -> Callable[..., tf.Tensor]:
    """Traced once for any number of examples."""
    return tf.function(
        lambda *tensors: log_prob(*tensors), input_signature=examples.signature(), autograph=autograph
    )
