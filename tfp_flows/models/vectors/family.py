"""Flows over vectors as a family: training begins them at the data's normal distribution."""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flows.checks.errors import UserError
from tfp_flows.models.family import Family
from tfp_flows.models.vectors.config import VectorFlowConfig, VectorFlowProtocol
from tfp_flows.models.vectors.flow import vector_flow

MOST_NAMED = 5


@runtime_checkable
class VectorFlow(Protocol):
    """What `vector_flow` makes."""

    @property
    def vector_config(self) -> VectorFlowConfig | None:
        """With which it is made again; None where nothing says so."""

    @property
    def bijector(self) -> tfb.Bijector:
        """The map from z to x."""


def _build(config: VectorFlowConfig, shape: tuple[int, ...], protocol: VectorFlowProtocol) -> Any:
    del protocol
    (size,) = shape
    return vector_flow(size, **dataclasses.asdict(config))


def initialize(flow: Any, values: tf.Tensor, seed: object = 0, **condition: Any) -> None:
    """Makes a new `vector_flow` the normal distribution of some vectors.

    The actnorm in front gets their means and standard deviations; the first linear layer whitens their
    correlations, shrunk as Ledoit and Wolf do, before its own rotation. Other actnorms are left as they are:
    what reaches them is white already, or nearly: a new mixture coupling has slopes of 0.95 to 1.03, one of
    `scale_form="sigmoid"` 0.88, and a prior that is not normal has its own shape.

    Args:
      flow: As `vector_flow` makes it.
      values: `[N, D]`.
      seed: Of nothing: an initialisation of a family has one.
      **condition: Without effect.

    Raises:
      UserError: If a column holds one value alone.
    """
    del seed, condition
    members = {member.name: member for member in flow.bijector.bijectors}
    norm, linear = members["standardize"], members["step0_linear"]
    array = np.asarray(values, np.float64)
    loc, scale = array.mean(axis=0), array.std(axis=0)
    _refuse_constants(array, scale)
    norm.shift.assign(tf.constant(-loc, norm.dtype))
    norm.log_scale.assign(tf.constant(-np.log(scale), norm.dtype))
    linear.weight = np.asarray(linear.weight, np.float64) @ _whitening((array - loc) / scale)


def _refuse_constants(vectors: np.ndarray, scale: np.ndarray) -> None:
    constant = np.flatnonzero(scale <= 1e-12 * (1e-300 + np.abs(vectors).max(axis=0)))
    if not len(constant):
        return
    named = ", ".join(map(str, constant[:MOST_NAMED])) + (", ..." if len(constant) > MOST_NAMED else "")
    raise UserError(
        f"vector_flow: a column must hold different values, but {len(constant)} of {len(scale)} hold one "
        f"alone (columns {named}), whose density is infinite: leave them out, or add noise."
    )


def _whitening(standardised: np.ndarray) -> np.ndarray:
    """`[D, D]`, the inverse of the Cholesky factor of the shrunk covariance of `[N, D]`."""
    import sklearn.covariance  # here: it takes a second, and most who import this do not fit

    covariance = sklearn.covariance.ledoit_wolf(standardised, assume_centered=True)[0]
    covariance += 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return np.linalg.inv(np.linalg.cholesky(covariance))


def _log_prob(model: Any, values: tf.Tensor, seed: object = 0, **condition: Any) -> tf.Tensor:
    del seed
    return model.log_prob(values, bijector_kwargs=condition)


def _least_weights(config: VectorFlowConfig, shape: tuple[int, ...], given: int) -> int:
    """Of each step the linear layer, and the hidden layers of the coupling's network."""
    (size,) = shape
    width = config.hidden_units
    return config.num_steps * (size**2 + width * (width + config.condition_size))


FAMILY = Family(
    name="vector_flow",
    config_class=VectorFlowConfig,
    protocol_class=VectorFlowProtocol,
    build=_build,
    initialize=initialize,
    training_log_prob=_log_prob,
    training_protocol=lambda config: VectorFlowProtocol(),
    model_class=VectorFlow,
    config_of=lambda model: model.vector_config,
    noisy=False,
    least_weights=_least_weights,
)
