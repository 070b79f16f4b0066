"""Glow: a multi-scale flow of actnorm, 1x1 convolution and coupling (Kingma & Dhariwal 2018)."""

import functools

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows import bijectors, networks
from tfp_flows.checks.errors import UserError
from tfp_flows.distributions import priors

tfb = tfp.bijectors
tfd = tfp.distributions


def glow(config, image_shape):
    """A Glow over dequantised images y = (x + u) / 256 in [0, 1), as a TFP distribution.

        log p(y) = log p_Z(z) + log|det dz/dy|,     z = bijector.inverse(y)

    The latent has the shape of the image; see `FactorOut`. Density in nats per image, with respect to
    y; see `Dequantized` for the log-probability of integer images.

    Args:
      config: `GlowConfig`.
      image_shape: (H, W, C); H and W must be divisible by 2**levels.

    Returns:
      A `tfd.TransformedDistribution`, event shape `[H, W, C]`, batch shape `[]`.

    Raises:
      ValueError: If the image shape does not fit.
    """
    height, width, channels = _check_image_shape(config, image_shape)
    dtype = tf.as_dtype(config.dtype)
    bijector = _level(config, channels, level=0)
    flow = tfd.TransformedDistribution(
        distribution=tfd.Sample(_prior(config, dtype), [height, width, channels]),
        bijector=bijector,
        name="glow",
    )
    flow.config = config  # by which a run's folder can make it again
    return flow


def _level(config, channels, level):
    """One level and all those below it: a shape-preserving bijector of `[H, W, channels]`."""
    channels *= 4
    squeeze = bijectors.Squeeze(name=f"level{level}_squeeze")
    members = [squeeze]
    for step in range(config.steps_per_level):
        members += _step(config, channels, level, step)
    if level + 1 < config.levels:
        members.append(_factor_out(config, channels, level))
    members.append(tfb.Invert(squeeze, name=f"level{level}_unsqueeze"))
    # A reversible chain recomputes all that is nested in it.
    reversible = config.reversible and level == 0
    return bijectors.FusedChain(members, reversible=reversible, name=f"level{level}")


def _step(config, channels, level, step):
    """A step of flow: actnorm, 1x1 convolution, coupling."""
    name = f"level{level}_step{step}"
    dtype = tf.as_dtype(config.dtype)
    conv_seed, network_seed = ([config.seed, level, step, part] for part in (0, 1))
    network = functools.partial(
        networks.ConvNetwork if config.network == "conv" else networks.HighwayNetwork,
        hidden_channels=config.hidden_channels,
        seed=network_seed,
        dtype=dtype,
    )
    name_coupling = f"{name}_coupling"
    if config.coupling == "affine":
        coupling = bijectors.AffineCoupling(
            channels, network, scale=config.scale, dtype=dtype, name=name_coupling
        )
    else:
        coupling = bijectors.AdditiveCoupling(channels, network, dtype=dtype, name=name_coupling)
    return [
        bijectors.ActNorm(channels, dtype=dtype, name=f"{name}_actnorm"),
        bijectors.InvertibleConv1x1(channels, seed=conv_seed, dtype=dtype, name=f"{name}_conv1x1"),
        coupling,
    ]


def _factor_out(config, channels, level):
    """The split after `level`, with the levels below it as its rest."""
    dtype = tf.as_dtype(config.dtype)
    return bijectors.FactorOut(
        channels,
        functools.partial(networks.ConvLayer, dtype=dtype),
        rest=_level(config, channels // 2, level + 1),
        mode=config.factor_out_mode,
        scale=config.scale,
        dtype=dtype,
        name=f"level{level}_factor_out",
    )


def _prior(config, dtype):
    return priors.CLASSES[config.prior](tf.zeros([], dtype), tf.constant(config.prior_scale, dtype))


def _check_image_shape(config, image_shape):
    shape = tuple(int(size) for size in image_shape)
    if len(shape) != 3 or min(shape) < 1:
        raise UserError(f"glow: `image_shape` must be (height, width, channels), got {shape}.")
    for size, axis in zip(shape[:2], ("height", "width"), strict=True):
        if size % 2**config.levels:
            raise UserError(
                f"glow: the {axis} of `image_shape` must halve evenly {config.levels} times "
                f"(levels={config.levels}), got {shape}; use fewer levels, or images resized or "
                f"padded to a multiple of {2**config.levels}."
            )
    return shape
