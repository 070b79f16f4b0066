"""Glow: a multi-scale flow of actnorm, 1x1 convolution and coupling (Kingma & Dhariwal 2018)."""

import dataclasses
import functools

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows import bijectors, networks

tfb = tfp.bijectors
tfd = tfp.distributions

COUPLINGS = ("affine", "additive")
FACTOR_OUTS = ("affine", "shift", "none")
SCALES = ("sigmoid", "exp")
NETWORKS = ("conv", "highway")
PRIORS = ("normal", "laplace", "logistic")


@dataclasses.dataclass(frozen=True)
class GlowConfig:
    """What determines a Glow, apart from the shape of its images.

    Attributes:
      levels: How often the resolution is halved; each level but the last factors half of its channels
        out.
      steps_per_level: Steps of flow (actnorm, 1x1 convolution, coupling) in each level.
      hidden_channels: Width of the coupling networks.
      coupling: "affine" (NVP-Glow) or "additive" (CV-Glow: the volume does not depend on the image).
      scale: How an affine coupling gets its scale: "sigmoid" (of raw + 2) or "exp".
      factor_out: "affine", "shift" or "none"; None follows the coupling.
      network: "conv" (Glow's three convolutions) or "highway" (the paper's).
      prior: "normal", "laplace" or "logistic", independent in each dimension, with mean 0.
      prior_scale: Its scale parameter, sigma_psi for the normal.
      seed: Of the initial weights and rotations.
      dtype: "float32" or "float64".
    """

    levels: int = 3
    steps_per_level: int = 8
    hidden_channels: int = 128
    coupling: str = "affine"
    scale: str = "sigmoid"
    factor_out: str | None = None
    network: str = "conv"
    prior: str = "normal"
    prior_scale: float = 1.0
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self):
        """Raises `ValueError` where a value is of the wrong kind or two of them contradict."""
        for field in ("levels", "steps_per_level", "hidden_channels"):
            value = getattr(self, field)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"GlowConfig: `{field}` must be a positive integer, got {value!r}.")
        _check_choice(self, "coupling", COUPLINGS)
        _check_choice(self, "scale", SCALES)
        _check_choice(self, "network", NETWORKS)
        _check_choice(self, "prior", PRIORS)
        _check_choice(self, "dtype", ("float32", "float64"))
        if self.factor_out is not None:
            _check_choice(self, "factor_out", FACTOR_OUTS)
        if self.coupling == "additive" and self.factor_out == "affine":
            raise ValueError(
                "GlowConfig: coupling='additive' with factor_out='affine' has a volume that depends on "
                "the image, so it is no constant-volume flow; use factor_out='shift' or 'none'."
            )
        if not self.prior_scale > 0:
            raise ValueError(f"GlowConfig: `prior_scale` must be positive, got {self.prior_scale!r}.")

    @property
    def factor_out_mode(self):
        """The mode of `FactorOut`: as given, or "affine" / "shift" following the coupling."""
        if self.factor_out is not None:
            return self.factor_out
        return "affine" if self.coupling == "affine" else "shift"


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
    return tfd.TransformedDistribution(
        distribution=tfd.Sample(_prior(config, dtype), [height, width, channels]),
        bijector=bijector,
        name="glow",
    )


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
    return bijectors.FusedChain(members, name=f"level{level}")


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
    loc = tf.zeros([], dtype)
    scale = tf.constant(config.prior_scale, dtype)
    classes = {"normal": tfd.Normal, "laplace": tfd.Laplace, "logistic": tfd.Logistic}
    return classes[config.prior](loc, scale)


def _check_choice(config, field, choices):
    value = getattr(config, field)
    if value not in choices:
        raise ValueError(f"GlowConfig: `{field}` must be one of {choices}, got {value!r}.")


def _check_image_shape(config, image_shape):
    shape = tuple(int(size) for size in image_shape)
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"glow: `image_shape` must be (height, width, channels), got {shape}.")
    for size, axis in zip(shape[:2], ("height", "width"), strict=True):
        if size % 2**config.levels:
            raise ValueError(
                f"glow: the {axis} of `image_shape` must halve evenly {config.levels} times "
                f"(levels={config.levels}), got {shape}; use fewer levels, or images resized or "
                f"padded to a multiple of {2**config.levels}."
            )
    return shape
