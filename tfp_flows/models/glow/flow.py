"""Glow: a multi-scale flow of actnorm, 1x1 convolution and coupling (Kingma & Dhariwal 2018)."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows import bijectors
from tfp_flows.distributions import Dequantizer, priors
from tfp_flows.models.glow.config import GlowConfig


def glow(
    config: GlowConfig,
    image_shape: Sequence[int],
    network: Callable[[int, int], Callable[..., tf.Tensor]] | None = None,
    prior: tfd.Distribution | None = None,
    condition_channels: int = 0,
    name: str = "glow",
) -> tfd.TransformedDistribution:
    """A Glow over dequantised images y = (x + u) / 256 in [0, 1), as a TFP distribution.

        log p(y) = log p_Z(z) + log|det dz/dy|,     z = bijector.inverse(y)

    The latent has the shape of the image; see `bijectors.Glow`. Density in nats per image, with respect to
    y; see `Dequantized` for the log-probability of integer images.

    #### Example

    ```python
    flow = tfp_flows.glow(config, (32, 32, 3), condition_channels=10)
    flow.log_prob(y, bijector_kwargs={"condition": tf.one_hot(labels, 10)})
    flow.sample([5, 10], bijector_kwargs={"condition": tf.eye(10)})     # 5 images of each of 10 classes
    ```

    Args:
      config: `GlowConfig`.
      image_shape: (H, W, C); H and W must be divisible by 2**levels.
      network: Factory of the coupling networks, `network(in_channels, out_channels)`, in the place of the
        config's; see `AffineCoupling`. It sees to its own seeds, dtype and condition.
      prior: `tfd.Distribution` of the latent, in the place of the config's, fixed or with variables to be
        trained: of scalars with batch shape `[]`, `[C]` or `[H, W, C]`, or of events `[H, W, C]`.
      condition_channels: K: every network is given a `condition` `[..., K]` or `[..., H, W, K]`; see
        `bijectors.Glow`.
      name: Python `str`.

    Returns:
      A `tfd.TransformedDistribution`, event shape `[H, W, C]`, batch shape `[]`.

    Raises:
      ValueError: If the image shape, or the prior's, does not fit.
    """
    dtype = tf.as_dtype(config.dtype)
    bijector = bijectors.Glow(
        image_shape,
        levels=config.levels,
        steps_per_level=config.steps_per_level,
        network=config.network if network is None else network,
        hidden_channels=config.hidden_channels,
        coupling=config.coupling,
        scale_form=config.scale,
        shift_first=config.shift_first,
        input_limit=config.input_limit,
        factor_out=config.factor_out_mode,
        factor_out_scale_form=config.factor_out_scale,
        leaves=config.leaves,
        condition_channels=condition_channels,
        seed=config.seed,
        reversible=config.reversible,
        num_bins=config.num_bins,
        num_components=config.num_components,
        checkerboard_steps=config.checkerboard_steps,
        dtype=dtype,
        name=name,
    )
    if prior is not None:
        latent = priors.over(prior, bijector.image_shape, dtype)
    elif config.learned_prior:
        groups = _prior_groups(config, bijector)
        latent = priors.learned(config.prior, groups, config.prior_scale, dtype)
    else:
        scalar = priors.CLASSES[config.prior](tf.zeros([], dtype), tf.constant(config.prior_scale, dtype))
        latent = priors.over(scalar, bijector.image_shape, dtype)
    flow = tfd.TransformedDistribution(distribution=latent, bijector=bijector, name=name)
    if network is None and prior is None and not condition_channels:
        flow.config = config  # by which a run's folder can make it again
    return flow


def dequantizer(config: GlowConfig, image_shape: Sequence[int]) -> Dequantizer | None:
    """The flow of the noise between grey levels that a config asks for; None where that is uniform.

    #### Example

    ```python
    config = tfp_flows.GlowConfig(dequantization="variational")
    noise = tfp_flows.dequantizer(config, (32, 32, 3))
    model = tfp_flows.Dequantized(tfp_flows.glow(config, (32, 32, 3)), dequantizer=noise)
    ```

    Args:
      config: `GlowConfig`.
      image_shape: (H, W, C).
    """
    if config.dequantization == "uniform":
        return None
    found = Dequantizer(
        image_shape,
        num_steps=config.dequantization_steps,
        hidden_channels=config.dequantization_channels,
        seed=config.seed,
        reversible=config.reversible,
        dtype=tf.as_dtype(config.dtype),
    )
    found.config = config  # see `glow`
    return found


def _prior_groups(config: GlowConfig, bijector: bijectors.Glow) -> np.ndarray:
    """`[H, W, C]`, a number for each channel of a level that learns mean and scale, -1 elsewhere."""
    levels = bijector.latent_levels
    learned = (levels == config.levels - 1) | (config.factor_out_mode != "affine")
    channels = levels * (bijector.latent_channels.max() + 1) + bijector.latent_channels
    _, groups = np.unique(channels[learned], return_inverse=True)
    found = np.full(levels.shape, -1)
    found[learned] = groups
    return found
