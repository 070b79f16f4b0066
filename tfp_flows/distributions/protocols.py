"""What a model can do, asked of what it has and not of its class: a stranger's may have it too.

    isinstance(model, protocols.LatentVariableModel)

An answer says that the names are there; what stands behind them is the business of `testing`.
"""

from typing import Protocol, TypeGuard, runtime_checkable

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_flows.distributions.terms import LogProbTerms
from tfp_flows.numerics import SeedLike


@runtime_checkable
class DensityModel(Protocol):
    """Knows log p of integer images `[B, H, W, C]`: `[B]`, nats."""

    def log_prob(self, images: tf.Tensor, /) -> tf.Tensor:
        """log p of images: `[B]`, nats."""


@runtime_checkable
class ChangeOfVariables(Protocol):
    """A continuous density by a change of variables, as `tfd.TransformedDistribution`.

    (Asked by name: `tfd.TransformedDistribution(...)` is an instance of that class only if its bijector is a
    CompositeTensor.)
    """

    @property
    def event_shape(self) -> tf.TensorShape:
        """Of y."""

    @property
    def distribution(self) -> tfd.Distribution:
        """p_Z, of the latent."""

    @property
    def bijector(self) -> tfb.Bijector:
        """The map from z to y."""


@runtime_checkable
class FlowModel(DensityModel, Protocol):
    """A continuous density over dequantised images, the noise that makes them so, and the terms of log p.

    See `is_flow`, which asks besides that `.flow` is a change of variables.
    """

    @property
    def flow(self) -> tfd.Distribution:
        """The continuous density over y = (x + u) / 256."""

    def evaluation_noise(self) -> tf.Tensor:
        """The draws of u `[S, H, W, C]` that `log_prob` uses."""

    def terms(self, images: tf.Tensor, /) -> LogProbTerms:
        """The terms of log p of images for the first of these draws."""


@runtime_checkable
class LatentVariableModel(DensityModel, Protocol):
    """p(x) = E_{p(z)}[p(x | z)], with an approximate posterior q(z | x); as a VAE."""

    @property
    def prior(self) -> tfd.Distribution:
        """p(z)."""

    def encode(self, images: tf.Tensor, /) -> tfd.Distribution:
        """q(z | x) of images."""

    def decode(self, z: tf.Tensor, /) -> tfd.Distribution:
        """p(x | z)."""


@runtime_checkable
class CodedModel(DensityModel, Protocol):
    """Knows log p of an image given the code h(x) of it; as a PixelCNN with an encoder."""

    def encode(self, images: tf.Tensor, /) -> tf.Tensor:
        """h(x) `[B, K]`."""

    def reconstruct(self, images: tf.Tensor, /, seed: SeedLike) -> tf.Tensor:
        """An image drawn from p(x | h(x)) for each: `[B, H, W, C]`."""


@runtime_checkable
class PixelModel(DensityModel, Protocol):
    """Says log p of each pixel given those before it; as a PixelCNN."""

    def pixel_log_probs(self, images: tf.Tensor, /) -> tf.Tensor:
        """`[B, H, W]`, nats; they sum to `log_prob`."""


@runtime_checkable
class MappedModel(DensityModel, Protocol):
    """Says which pixels log p comes from: how much each has a share in it."""

    def log_prob_map(self, images: tf.Tensor, /) -> tf.Tensor:
        """`[B, H, W]`, nats; they sum to `log_prob`."""


@runtime_checkable
class SharedModel(DensityModel, Protocol):
    """Says it by term besides, as a Glow by level: what is usual for one may be unusual for another."""

    def log_prob_shares(self, images: tf.Tensor, /) -> tf.Tensor:
        """`[B, H, W, T]`, nats; they sum to `log_prob`."""


@runtime_checkable
class EstimatedModel(DensityModel, Protocol):
    """Estimates log p by Monte Carlo, and says how well; as a VAE."""

    def log_prob_and_standard_error(self, images: tf.Tensor, /) -> tuple[tf.Tensor, tf.Tensor]:
        """log p of images and its standard error, each `[B]`, nats."""


def is_flow(model: object) -> TypeGuard[FlowModel]:
    """Whether `model` is a flow over dequantised images: a `FlowModel`, `.flow` a change of variables.

    `Dequantized` makes a density over images of any continuous one; it is a flow if that is one.
    """
    return isinstance(model, FlowModel) and isinstance(model.flow, ChangeOfVariables)
