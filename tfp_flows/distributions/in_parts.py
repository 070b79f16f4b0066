"""Log-probabilities and samples of a flow, in parts of the batch side by side: see `numerics.parts`.

log_prob = tf.function(lambda images: in_parts.log_prob(model, images))
"""

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows import bijectors
from tfp_flows.checks.errors import UserError
from tfp_flows.distributions import priors
from tfp_flows.distributions.protocols import ChangeOfVariables
from tfp_flows.distributions.temperature import tempered
from tfp_flows.numerics import Seed, SeedLike, parts


def log_prob(model: tfd.Distribution, batch: tf.Tensor, count: int | None = None) -> tf.Tensor:
    """`model.log_prob(batch)`, in parts, the 1x1 kernels of a flow assembled once for all of them.

    Args:
      model: `tfd.Distribution` of batch shape `[]`.
      batch: Tensor `[B, ...]`.
      count: As in `concatenated`.

    Returns:
      Tensor `[B]`, nats.
    """
    with bijectors.kernels_assembled_once(model, inverse=True):
        return parts.concatenated(model.log_prob, batch, model.dtype, count=count)


def sample(
    flow: tfd.Distribution, num_samples: int, seed: SeedLike = None, temperature: float = 1.0
) -> tf.Tensor:
    """`flow.sample(num_samples, seed=seed)`, in `at_once()` parts.

    A latent drawn by `tfp_flows.distributions.priors` is drawn in parts too, any other as a whole.

    Args:
      flow: `tfd.Distribution`; one that is no `tfd.TransformedDistribution` samples as it does.
      num_samples: Positive `int`.
      seed: As `flow.sample` takes it.
      temperature: Other than 1 of a `tfd.TransformedDistribution` alone, see `tempered`.

    Returns:
      Tensor `[num_samples, ...]`: the samples that a whole batch would have been, up to rounding.
    """
    count = parts.at_once()
    if temperature == 1.0 and (count == 1 or not isinstance(flow, ChangeOfVariables)):
        return flow.sample(num_samples, seed=seed)
    if not isinstance(flow, ChangeOfVariables):
        raise UserError(f"`temperature`: {flow.name} has no latent, it is no `tfd.TransformedDistribution`.")
    with bijectors.kernels_assembled_once(flow.bijector, inverse=False):
        return _sample(flow.distribution, flow, num_samples, seed, count, temperature)


def _sample(
    latent: tfd.Distribution,
    flow: tfd.Distribution,
    num_samples: int,
    seed: SeedLike,
    count: int,
    temperature: float,
) -> tf.Tensor:
    def forward(z):
        return flow.bijector.forward(tempered(latent, z, temperature))

    in_parts = isinstance(getattr(latent, "distribution", None), tuple(priors.CLASSES.values()))
    if not in_parts or count == 1:
        return parts.concatenated(
            forward, latent.sample(num_samples, seed=seed), flow.dtype, flow.event_shape
        )
    num_parts = parts.num_parts_of(num_samples, count)
    size = -(-num_samples // num_parts)  # of each part, so that the last may have too many
    seed = Seed.of(seed)

    def of_part(index):
        return forward(latent.sample(size, seed=seed.part(index, num_parts)))

    return parts.joined(of_part, num_parts, count, flow.dtype, flow.event_shape)[:num_samples]
