"""Glow: a multi-scale flow of actnorm, 1x1 convolution and coupling (Kingma & Dhariwal 2018)."""

import dataclasses
import functools

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows import bijectors, networks
from tfp_flows.distributions import priors

tfb = tfp.bijectors
tfd = tfp.distributions

COUPLINGS = ("affine", "additive")
FACTOR_OUTS = ("affine", "shift", "none")
SCALES = ("sigmoid", "exp")
PRIORS = tuple(priors.CLASSES)
NETWORKS = ("conv", "highway")
DTYPES = ("float32", "float64")


def _field(default, text, compare=True, **metadata):
    return dataclasses.field(default=default, compare=compare, metadata={"help": text, **metadata})


@dataclasses.dataclass(frozen=True)
class GlowConfig:
    """What determines a Glow, apart from the shape of its images; each field is also a flag.

    `coupling="affine"` is NVP-Glow and `coupling="additive"` CV-Glow, whose volume does not depend on
    the image. `factor_out=None` follows the coupling: "affine", or "shift" for additive couplings.
    `reversible` changes no value but by rounding, so configs that differ in it alone are equal.
    """

    levels: int = _field(
        3, "How often the resolution is halved; each level but the last factors out half its channels."
    )
    steps_per_level: int = _field(8, "Steps (actnorm, 1x1 convolution, coupling) in each level.")
    hidden_channels: int = _field(128, "Width of the coupling networks.")
    coupling: str = _field("affine", "affine: NVP-Glow; additive: CV-Glow.", choices=COUPLINGS)
    scale: str = _field(
        "sigmoid", "Scale of an affine coupling: sigmoid(raw + 2) or exp(raw).", choices=SCALES
    )
    factor_out: str | None = _field(
        None,
        "How channels that leave are normalised given the rest; by default affine, or shift where "
        "couplings are additive.",
        choices=FACTOR_OUTS,
    )
    network: str = _field(
        "conv", "Coupling networks: Glow's three convolutions, or the paper's.", choices=NETWORKS
    )
    prior: str = _field("normal", "Distribution of each latent dimension, with mean 0.", choices=PRIORS)
    prior_scale: float = _field(1.0, "Scale parameter of the prior: sigma_psi for the normal.")
    seed: int = _field(0, "Seed of the initial weights, the data order and the noise.")
    dtype: str = _field("float32", "Floating type of weights and latents.", choices=DTYPES)
    reversible: bool = _field(
        False,
        "Train with memory that does not grow with the number of steps, in about a third more time: see "
        "FusedChain.",
        compare=False,
    )

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
        _check_choice(self, "dtype", DTYPES)
        if not isinstance(self.reversible, bool):
            raise ValueError(f"GlowConfig: `reversible` must be True or False, got {self.reversible!r}.")
        if self.factor_out is not None:
            _check_choice(self, "factor_out", FACTOR_OUTS)
        if self.coupling == "additive" and self.factor_out == "affine":
            raise ValueError(
                "GlowConfig: coupling='additive' with factor_out='affine' has a volume that depends on "
                "the image, so it is no constant-volume flow; use factor_out='shift' or 'none'."
            )
        if not 0 < self.prior_scale < float("inf"):
            raise ValueError(
                f"GlowConfig: `prior_scale` must be positive and finite, got {self.prior_scale!r}."
            )

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
