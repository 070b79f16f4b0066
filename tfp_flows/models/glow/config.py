"""What determines a Glow, and how it is evaluated; nothing here needs TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from tfp_flows.checks import counts
from tfp_flows.checks.errors import UserError
from tfp_flows.distributions.bounds import BOUNDS
from tfp_flows.models.settings import Settings

COUPLINGS = ("affine", "additive", "spline", "mixture")
FACTOR_OUTS = ("affine", "shift", "none")
SCALES = ("sigmoid", "exp", "tanh")
LEAVES = ("untouched", "transformed")
PRIORS = ("normal", "laplace", "logistic")
NETWORKS = ("conv", "highway", "attention", "transformer")
DEQUANTIZATIONS = ("uniform", "variational")
DTYPES = ("float32", "float64")
LEAST = {
    "levels": 1,
    "steps_per_level": 1,
    "hidden_channels": 1,
    "num_bins": 2,
    "num_components": 1,
    "checkerboard_steps": 0,
    "dequantization_steps": 1,
    "dequantization_channels": 1,
    "seed": 0,
}


def _field(default: Any, text: str, compare: bool = True, **metadata: Any) -> Any:
    return dataclasses.field(default=default, compare=compare, metadata={"help": text, **metadata})


@dataclasses.dataclass(frozen=True)
class GlowConfig:
    """What determines a Glow, apart from the shape of its images; each field is also a flag.

    `coupling="affine"` is NVP-Glow and `coupling="additive"` CV-Glow, whose volume does not depend on
    the image. `factor_out=None` follows the coupling: "affine", or "shift" for additive couplings; and
    `factor_out_scale=None` is the couplings' `scale`. docs/ports.md has the configs that make a Glow that of
    TFP, of normflows and of y0ast's Glow-PyTorch.
    `reversible` changes no value but by rounding, so configs that differ in it alone are equal.
    BEFORE is what runs mean that do not name these fields: those that were begun when they were none, or had
    another default.
    """

    levels: int = _field(
        3, "How often the resolution is halved; each level but the last factors out half its channels."
    )
    steps_per_level: int = _field(8, "Steps (actnorm, 1x1 convolution, coupling) in each level.")
    hidden_channels: int = _field(128, "Width of the coupling networks.")
    coupling: str = _field(
        "affine",
        "affine: NVP-Glow; additive: CV-Glow; spline: rational-quadratic splines; mixture: mixtures of "
        "logistics, as in Flow++.",
        choices=COUPLINGS,
    )
    scale: str = _field(
        "tanh",
        "Scale of an affine coupling: tanh: exp(tanh(raw)), within [1/e, e]; sigmoid(raw + 2); exp(raw).",
        choices=SCALES,
    )
    input_limit: float = _field(
        5.0,
        "Networks see their inputs clipped to [-input_limit, input_limit], so that the inverse holds "
        "further from the data; 0: as they are.",
    )
    factor_out: str | None = _field(
        None,
        "How channels that leave are normalised given the rest; by default affine, or shift where "
        "couplings are additive.",
        choices=FACTOR_OUTS,
    )
    factor_out_scale: str | None = _field(
        None,
        "Scale of an affine factor-out, as for --scale; by default that of the couplings.",
        choices=SCALES,
    )
    leaves: str = _field(
        "untouched",
        "Which half of the last coupling leaves a level: the one that it is given, or the one that it "
        "transforms, as in most other implementations.",
        choices=LEAVES,
    )
    shift_first: bool = _field(
        False,
        "Affine couplings and factor-outs compute scale * (x + shift), as in the Glow paper's own code, and "
        "not scale * x + shift.",
    )
    network: str = _field(
        "conv",
        "Coupling networks: Glow's three convolutions; the paper's highway layers; gated convolutions with "
        "attention, as in Flow++; or a small vision transformer.",
        choices=NETWORKS,
    )
    prior: str = _field("normal", "Distribution of each latent dimension, with mean 0.", choices=PRIORS)
    prior_scale: float = _field(1.0, "Scale parameter of the prior: sigma_psi for the normal.")
    learned_prior: bool = _field(
        False,
        "Train a mean and a scale of the prior for each channel: of the last level, and of those that leave "
        "the others where no affine factor-out gives them one.",
    )
    num_bins: int = _field(8, "Bins of each spline, where couplings are splines.")
    num_components: int = _field(8, "Logistics in each mixture, where couplings are mixtures.")
    checkerboard_steps: int = _field(
        0, "Steps at full resolution, with couplings of a checkerboard's squares, before the first squeeze."
    )
    dequantization: str = _field(
        "uniform",
        "Noise between grey levels: uniform, or drawn from a flow that is given the image and trained with "
        "the other (variational).",
        choices=DEQUANTIZATIONS,
    )
    dequantization_steps: int = _field(4, "Steps of that flow.")
    dequantization_channels: int = _field(32, "Width of its networks.")
    seed: int = _field(0, "Seed of weights, data order and noise.")
    dtype: str = _field("float32", "Floating type of weights and latents.", choices=DTYPES)
    BEFORE: ClassVar[Mapping[str, object]] = {"scale": "sigmoid", "input_limit": 0.0}

    reversible: bool = _field(
        False,
        "Train with memory that does not grow with the number of steps, in about a third more time: see "
        "FusedChain.",
        compare=False,
    )

    def __post_init__(self) -> None:
        """Raises `ValueError` where a value is of the wrong kind or two of them contradict."""
        counts.keep_whole(self, LEAST, "GlowConfig")
        _check_choice(self, "coupling", COUPLINGS)
        _check_choice(self, "scale", SCALES)
        _check_choice(self, "network", NETWORKS)
        _check_choice(self, "prior", PRIORS)
        _check_choice(self, "dequantization", DEQUANTIZATIONS)
        _check_choice(self, "dtype", DTYPES)
        _check_choice(self, "leaves", LEAVES)
        for field in ("shift_first", "learned_prior", "reversible"):
            value = getattr(self, field)
            if not isinstance(value, bool):
                raise UserError(f"GlowConfig: `{field}` must be True or False, got {value!r}.")
        if self.factor_out is not None:
            _check_choice(self, "factor_out", FACTOR_OUTS)
        if self.factor_out_scale is not None:
            _check_choice(self, "factor_out_scale", SCALES)
        if self.coupling == "additive" and self.factor_out == "affine":
            raise UserError(
                "GlowConfig: coupling='additive' with factor_out='affine' has a volume that depends on "
                "the image, so it is no constant-volume flow; use factor_out='shift' or 'none'."
            )
        if not 0 <= self.input_limit < float("inf"):
            raise UserError(
                f"GlowConfig: `input_limit` must be positive, or 0 for none, got {self.input_limit!r}."
            )
        if not 0 < self.prior_scale < float("inf"):
            raise UserError(
                f"GlowConfig: `prior_scale` must be positive and finite, got {self.prior_scale!r}."
            )

    @property
    def factor_out_mode(self) -> str:
        """The mode of `FactorOut`: as given, or "affine" / "shift" following the coupling."""
        if self.factor_out is not None:
            return self.factor_out
        return "shift" if self.coupling == "additive" else "affine"


def _check_choice(config: GlowConfig, field: str, choices: tuple[str, ...]) -> None:
    value = getattr(config, field)
    if value not in choices:
        raise UserError(f"GlowConfig: `{field}` must be one of {choices}, got {value!r}.")


@dataclasses.dataclass(frozen=True)
class GlowProtocol:
    """How a Glow's log-probability of integer images is estimated: see `Dequantized`."""

    num_dequantization_samples: int = _field(1, "Draws of dequantisation noise per image.")
    bound: str = _field("mean", "How those draws are combined: see Dequantized.", choices=BOUNDS)
    noise_seed: int = _field(0, "Seed of the noise in log-probabilities.")

    def __post_init__(self) -> None:
        """Raises `ValueError` where a value makes no sense."""
        counts.keep_whole(self, {"num_dequantization_samples": 1, "noise_seed": 0})


SETTINGS = Settings(GlowConfig, GlowProtocol, ("label", "lowres"))
