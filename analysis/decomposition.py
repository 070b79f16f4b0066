"""The two terms of the change of variables, per image, per level and per layer.

    log p(x) = log p_Z(z) + log|det dz/dx|,        z = bijector.inverse(x)

The second term is the volume that the paper first suspects (Nalisnick et al. 2019, section 4).
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tqdm
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from analysis.errors import AnalysisError
from analysis.levels import latent_levels
from tfp_flows import bijectors, data
from tfp_flows.checks.images import check_image_batch
from tfp_flows.distributions import dequantization_term, draw_of
from tfp_flows.distributions.protocols import ChangeOfVariables, FlowModel, is_flow


class Layer(NamedTuple):
    """One layer's part of the volume: its name and its log|det dz/dx| `[B]`, in nats."""

    name: str
    log_det: tf.Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Decomposition:
    """log p(x) and its parts, in nats, each `[B]`.

    Attributes:
      log_prob_z: log p_Z(z) of the latent under the prior.
      log_det: log|det dz/dx|, the volume term.
      layers: `Layer`s, image side first; they sum to `log_det`.
      levels: For a multi-scale flow, log p_Z of the latents that leave at each level, shallowest
        first; they sum to `log_prob_z`. A single entry where nothing is factored out.
    """

    log_prob_z: tf.Tensor
    log_det: tf.Tensor
    layers: list[Layer]
    levels: list[tf.Tensor]

    @property
    def log_prob(self) -> tf.Tensor:
        """log p(x) `[B]`: the sum of the two terms."""
        return self.log_prob_z + self.log_det


def decompose(flow: tfd.Distribution, x: tf.Tensor | np.ndarray) -> Decomposition:
    """Splits log p(x) of a flow into its terms.

        log p(x) = sum_levels log p_Z(z_level) + sum_layers log|det layer|

    Args:
      flow: `tfd.TransformedDistribution` of batch shape `[]`; chains (`FusedChain`, `tfb.Chain`) and
        `FactorOut` are taken apart, any other bijector is one layer.
      x: Floating tensor `[B] + event`: for images dequantised values, not integers.

    Returns:
      `Decomposition`.

    Raises:
      AnalysisError: If `flow` is not such a distribution, or x has another shape.
    """
    _check(flow, x)
    x = tf.identity(x)  # a tensor that no bijector's cache has seen
    event_ndims = len(flow.event_shape)
    z, log_dets = _walk(flow.bijector, x, event_ndims)
    batch = tf.shape(x)[: x.shape.rank - event_ndims]
    layers = [Layer(name, tf.broadcast_to(log_det, batch)) for name, log_det in log_dets]
    levels = _log_prob_of_levels(flow, z)
    return Decomposition(
        log_prob_z=tf.add_n(levels),
        log_det=tf.add_n([layer.log_det for layer in layers]),
        layers=layers,
        levels=levels,
    )


def _check(flow: tfd.Distribution, x: tf.Tensor | np.ndarray) -> None:
    if not isinstance(flow, ChangeOfVariables):
        raise AnalysisError(
            f"decomposition: {type(flow).__name__} {flow.name!r} has no exact change of variables: "
            f"a tfd.TransformedDistribution is needed."
        )
    if not flow.event_shape.is_compatible_with(x.shape[-len(flow.event_shape) :]):
        raise AnalysisError(
            f"decomposition: x must have shape [B] + {flow.event_shape.as_list()}, got {x.shape}."
        )


def _walk(
    bijector: tfb.Bijector, x: tf.Tensor, event_ndims: int
) -> tuple[tf.Tensor, list[tuple[str, tf.Tensor]]]:
    """Runs `inverse` layer by layer: (z, [(name, log-determinant)])."""
    if bijectors.is_chain(bijector):
        layers = []
        for member in bijector.bijectors:
            x, own = _walk(member, x, event_ndims)
            event_ndims = member.inverse_event_ndims(event_ndims)
            layers += own
        return x, layers
    if isinstance(bijector, bijectors.FactorOut):
        x_s, x_l = bijector.split(x)
        z_l, log_det = bijector.normalize(x_l, x_s)
        z_s, layers = _walk(bijector.rest, x_s, event_ndims)
        return tf.concat([z_s, z_l], axis=-1), [(bijector.name, log_det), *layers]
    z, log_det = bijectors.step(bijector, inverse=True, event_ndims=event_ndims).apply(x)
    return z, [(bijector.name, log_det)]


def _log_prob_of_levels(flow: tfd.Distribution, z: tf.Tensor) -> list[tf.Tensor]:
    """[log p_Z of each level's latents]; all in one where they cannot be told apart."""
    levels = latent_levels(flow.bijector, flow.event_shape)
    elementwise = _elementwise_log_prob(flow.distribution, z)
    if levels is None or elementwise is None:
        return [flow.distribution.log_prob(z)]
    axes = list(range(z.shape.rank - levels.ndim, z.shape.rank))
    return [
        tf.reduce_sum(tf.where(levels == level, elementwise, 0.0), axis=axes)
        for level in range(levels.max() + 1)
    ]


def _elementwise_log_prob(prior: tfd.Distribution, z: tf.Tensor) -> tf.Tensor | None:
    """log p_Z of each latent dimension where the prior is a product of scalars, else None."""
    if isinstance(prior, tfd.Sample | tfd.Independent) and len(prior.distribution.event_shape) == 0:
        value = prior.distribution.log_prob(z)
        return value if value.shape.is_compatible_with(z.shape) else None
    return None


@dataclasses.dataclass(frozen=True, eq=False)
class ImageTerms:
    """The terms of log P(x) of integer images x, in nats, as float64 arrays.

        log P(x) >= log p_Z(z) + log|det dz/dy| - D ln 256 - log q(u | x),        y = (x + u) / 256

    averaged over the model's draws of u; with uniform noise log q(u | x) = 0.

    Attributes:
      log_prob_z: `[N]`.
      log_det: `[N]`, of the map from y to z.
      layers: dict from a layer's name to its log-determinants `[N]`.
      levels: `[levels, N]`, log p_Z of each level's latents.
      num_dimensions: D.
      log_q: log q(u | x) `[N]`, or 0.
    """

    log_prob_z: np.ndarray
    log_det: np.ndarray
    layers: dict[str, np.ndarray]
    levels: np.ndarray
    num_dimensions: int
    log_q: np.ndarray | float = 0.0

    @property
    def dequantization(self) -> np.ndarray | float:
        """-D ln 256 - log q(u | x), in nats."""
        return dequantization_term(self.num_dimensions) - self.log_q

    @property
    def log_prob(self) -> np.ndarray:
        """log P(x) `[N]`, nats: the mean over the draws of the noise."""
        return self.log_prob_z + self.log_det + self.dequantization


def decompose_images(
    model: FlowModel, images: np.ndarray, batch_size: int = 256, progress: str | None = None
) -> ImageTerms:
    """The decomposition of many integer images under a dequantised flow.

    Args:
      model: `tfp_flows.Dequantized`.
      images: uint8 `[N, H, W, C]`.
      batch_size: Images at once.
      progress: Label of a progress bar, or None for none.

    Returns:
      `ImageTerms`.

    Raises:
      AnalysisError: If the model has no flow, or the images another shape.
    """
    flow = flow_of(model)
    images = check_image_batch(images, flow.event_shape, "decomposition", AnalysisError)
    noise = model.evaluation_noise()
    names: list[str] = []

    @tf.function(input_signature=[tf.TensorSpec([None, *flow.event_shape], tf.uint8)], autograph=False)
    def terms(batch):
        def of_draw(u):
            y, log_q = draw_of(model, batch, u)
            parts = decompose(flow, y)
            names[:] = [layer.name for layer in parts.layers]
            log_dets = tf.stack([layer.log_det for layer in parts.layers])
            own = log_q * tf.ones_like(log_dets[:1])
            return tf.concat([own, tf.stack(parts.levels), log_dets], axis=0)

        return tf.add_n([of_draw(u) for u in tf.unstack(noise)]) / noise.shape[0]

    parts = []
    with tqdm.tqdm(total=len(images), unit="image", desc=progress, disable=progress is None) as bar:
        for batch in data.evaluation_batches(images, batch_size):
            parts.append(terms(batch).numpy().astype(np.float64))
            bar.update(parts[-1].shape[1])
    values = np.concatenate(parts, axis=1)
    log_q, levels, log_dets = values[0], values[1 : -len(names)], values[-len(names) :]
    return ImageTerms(
        log_prob_z=levels.sum(axis=0),
        log_det=log_dets.sum(axis=0),
        layers=dict(zip(_unique(names), log_dets, strict=True)),
        levels=levels,
        num_dimensions=int(np.prod(flow.event_shape)),
        log_q=log_q,
    )


def flow_of(model: object) -> tfd.Distribution:
    """The continuous flow of a density model over integer images.

    Raises:
      AnalysisError: If it has none, as a VAE or a PixelCNN.
    """
    if not is_flow(model):
        name = getattr(model, "name", type(model).__name__)
        raise AnalysisError(
            f"{name} has no exact density by a change of variables (it is no flow), so this analysis does "
            f"not apply to it."
        )
    return model.flow


def _unique(names: list[str]) -> Iterator[str]:
    """Names with a number after those that occur before: a, b, a -> a, b, a_2."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name}_{seen[name]}"
