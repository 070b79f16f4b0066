"""The members of a Glow: what determines them, their order, their names and their seeds."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flows import networks
from tfp_flows.bijectors import (
    _conditioner,
    actnorm,
    conv1x1,
    coupling,
    elementwise_coupling,
    factor_out,
    fused_chain,
    transforms,
)
from tfp_flows.bijectors import squeeze as squeezing
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError

COUPLINGS = ("affine", "additive", "spline", "mixture")
LEAVES = ("untouched", "transformed")
NETWORKS = {
    "conv": networks.ConvNetwork,
    "highway": networks.HighwayNetwork,
    "attention": networks.AttentionNetwork,
    "transformer": networks.TransformerNetwork,
}

Factory = Callable[[int, int], Callable[..., tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What determines a Glow's members; the fields are arguments of `Glow`."""

    image_shape: tuple[int, int, int]
    levels: int
    steps_per_level: int
    network: str | Factory
    hidden_channels: int
    coupling: str
    scale_form: str
    shift_first: bool
    input_limit: float
    factor_out: str | None
    factor_out_scale_form: str | None
    factor_out_network: Factory | None
    leaves: str
    condition_channels: int
    seed: int
    dtype: tf.DType
    num_bins: int
    num_components: int
    checkerboard_steps: int

    def members(self) -> list[tfb.Bijector]:
        """New members of the whole Glow, image side first."""
        channels = self.image_shape[2]
        return [*self._checkerboards(channels), *self._level(channels, 0)]

    def routed(self, condition: tf.Tensor, conditions: Sequence[tf.Tensor]) -> dict[str, Any]:
        """Keyword arguments for the members: `condition`, and in each level its of `conditions`."""
        own = {"condition": condition}
        steps = range(self.checkerboard_steps)
        return {
            **{f"{_checkerboard_name(step)}_coupling": own for step in steps},
            **self._routed_level(conditions, 0),
        }

    def _routed_level(self, conditions: Sequence[tf.Tensor], level: int) -> dict[str, Any]:
        """Keyword arguments for the members of `level`: each gets its level's of `conditions`."""
        own = {"condition": conditions[level]}
        found: dict[str, Any] = {
            f"{_step_name(level, step)}_coupling": own for step in range(self.steps_per_level)
        }
        if level + 1 < self.levels:
            below = {f"level{level + 1}": self._routed_level(conditions, level + 1)}
            found[f"level{level}_factor_out"] = {**below, **({} if self._mode() == "none" else own)}
        return found

    def _mode(self) -> str:
        return self.factor_out or ("shift" if self.coupling == "additive" else "affine")

    def _checkerboards(self, channels: int) -> list[tfb.Bijector]:
        """Steps before the first squeeze, whose couplings transform black and white squares in turn."""
        members: list[tfb.Bijector] = []
        for step in range(self.checkerboard_steps):
            name = _checkerboard_name(step)
            seeds = [[self.seed, self.levels, step, which] for which in (0, 1)]  # no level has this number
            members += self._step(channels, name, seeds, split="checkerboard", swap=step % 2 == 1)
        return members

    def _level(self, channels: int, level: int) -> list[tfb.Bijector]:
        """One level and all those below it: members that keep the shape `[H, W, channels]`."""
        channels *= 4
        squeeze = squeezing.Squeeze(name=f"level{level}_squeeze")
        members = [squeeze]
        for step in range(self.steps_per_level):
            name = _step_name(level, step)
            seeds = [[self.seed, level, step, which] for which in (0, 1)]
            members += self._step(channels, name, seeds, swap=self.leaves == "transformed")
        if level + 1 < self.levels:
            members.append(self._factor_out(channels, level))
        return [*members, tfb.Invert(squeeze, name=f"level{level}_unsqueeze")]

    def _step(
        self, channels: int, name: str, seeds: Sequence[Sequence[int]], **division: Any
    ) -> list[tfb.Bijector]:
        """A step of flow: actnorm, 1x1 convolution (of one channel there is none), coupling."""
        conv_seed, network_seed = seeds
        network = self._network(network_seed, f"{name}_coupling")
        members: list[tfb.Bijector] = [actnorm.ActNorm(channels, dtype=self.dtype, name=f"{name}_actnorm")]
        if channels > 1:
            members.append(
                conv1x1.InvertibleConv1x1(channels, seed=conv_seed, dtype=self.dtype, name=f"{name}_conv1x1")
            )
        return [*members, self._coupling(channels, network, name=f"{name}_coupling", **division)]

    def _coupling(self, channels: int, network: Factory, **settings: Any) -> tfb.Bijector:
        """A coupling of the kind that is named."""
        settings |= {"dtype": self.dtype, "input_limit": self.input_limit}
        if self.coupling == "affine":
            return coupling.AffineCoupling(channels, network, scale_form=self.scale_form, **settings)
        if self.coupling == "additive":
            return coupling.AdditiveCoupling(channels, network, **settings)
        if self.coupling == "spline":
            transform: transforms.Transform = transforms.SplineTransform(self.num_bins)
        else:
            transform = transforms.MixtureTransform(self.num_components)
        return elementwise_coupling.Coupling(channels, network, transform, **settings)

    def _network(self, seed: Sequence[int], owner: str) -> Factory:
        """The factory of one coupling's network."""
        factory = self.network
        if isinstance(factory, str):
            factory = functools.partial(
                NETWORKS[factory],
                hidden_channels=self.hidden_channels,
                condition_channels=self.condition_channels,
                seed=seed,
                dtype=self.dtype,
            )
        if self.shift_first and self.coupling == "affine":
            return _shifting_first(factory, self.scale_form, owner)
        return factory

    def _factor_out(self, channels: int, level: int) -> tfb.Bijector:
        """The split after `level`, with the levels below it as its rest."""
        name = f"level{level}_factor_out"
        scale = self.factor_out_scale_form or self.scale_form
        network = self.factor_out_network or functools.partial(
            networks.ConvLayer, condition_channels=self.condition_channels, dtype=self.dtype
        )
        if self.shift_first and self._mode() == "affine":
            network = _shifting_first(network, scale, name)
        return factor_out.FactorOut(
            channels,
            network,
            rest=fused_chain.FusedChain(self._level(channels // 2, level + 1), name=f"level{level + 1}"),
            mode=self._mode(),
            scale_form=scale,
            input_limit=self.input_limit,
            dtype=self.dtype,
            name=name,
        )


FIELDS = tuple(field.name for field in dataclasses.fields(Plan))


class Built:
    """Stands for `network` among the arguments of a copy: the members are there already."""

    def __init__(self, members: Sequence[tfb.Bijector], plan: Plan) -> None:
        """Keeps `members`, which `plan` made."""
        self._members = list(members)
        self._plan = plan

    def of(self, plan: Plan, name: str) -> tuple[Plan, list[tfb.Bijector]]:
        """(the first plan, its members), if `plan` differs from it in `network` alone."""
        if dataclasses.replace(plan, network=self._plan.network) != self._plan:
            raise UserError(
                f"{name}: a copy shares all weights, so it can differ in `reversible`, `validate_args` and "
                f"`name` alone."
            )
        return self._plan, self._members


class _ShiftFirst(tf.Module):
    """A network [raw, t] as [raw, s t]: then s x + s t = s (x + t)."""

    def __init__(self, network: Callable[..., tf.Tensor], scale: str) -> None:
        super().__init__(name="shift_first")
        self._network = network
        self._scale = scale

    @property
    def condition_channels(self) -> int | None:
        return getattr(self._network, "condition_channels", None)

    def __call__(self, x: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        value = self._network(x, **kwargs)
        scale, _, shift = _conditioner.scale_and_shift(value, self._scale, False, self.name)
        return tf.concat([tf.split(value, 2, axis=-1)[0], scale * shift], axis=-1)


def _shifting_first(factory: Factory, scale: str, owner: str) -> Factory:
    return lambda in_channels, out_channels: _ShiftFirst(
        _conditioner.build(factory, in_channels, out_channels, owner), scale
    )


def checked(plan: Plan, name: str) -> Plan:
    """`plan`, if its values are of their kinds.

    Raises:
      ValueError: Naming the argument.
    """
    for field in ("levels", "steps_per_level", "hidden_channels"):
        arguments.check_count(getattr(plan, field), field, name)
    for field in ("num_bins", "num_components"):
        arguments.check_count(getattr(plan, field), field, name)
    if plan.checkerboard_steps != 0:
        arguments.check_count(plan.checkerboard_steps, "checkerboard_steps", name)
    _conditioner.input_limit(plan.input_limit, name)
    if plan.condition_channels != 0:
        arguments.check_count(plan.condition_channels, "condition_channels", name)
    _check_choice(plan, "coupling", COUPLINGS, name)
    _check_choice(plan, "leaves", LEAVES, name)
    _check_choice(plan, "scale_form", _conditioner.SCALE_FORMS, name)
    if plan.factor_out is not None:
        _check_choice(plan, "factor_out", factor_out.MODES, name)
    if plan.factor_out_scale_form is not None:
        _check_choice(plan, "factor_out_scale_form", _conditioner.SCALE_FORMS, name)
    if not isinstance(plan.network, Built) and not callable(plan.network):
        _check_choice(plan, "network", tuple(NETWORKS), name)
    shape = _checked_image_shape(plan.image_shape, plan.levels, name)
    return dataclasses.replace(plan, image_shape=shape, dtype=arguments.check_floating(plan.dtype, name))


def latent_map(image_shape: tuple[int, int, int], levels: int) -> tuple[np.ndarray, np.ndarray]:
    """(level, channel at this level) of each dimension of the latent, two integer arrays `[H, W, C]`."""
    height, width, channels = image_shape

    def from_level(level: int) -> np.ndarray:
        rows, columns, size = height >> (level + 1), width >> (level + 1), channels << (level + 2)
        found = np.stack(np.broadcast_arrays(level, np.arange(size)), axis=0)
        found = np.broadcast_to(found[:, np.newaxis, np.newaxis], [2, rows, columns, size]).copy()
        if level + 1 < levels:
            found[..., : size // 2] = from_level(level + 1)
        found = found.reshape([2, rows, columns, 2, 2, size // 4]).transpose(0, 1, 3, 2, 4, 5)
        return found.reshape([2, 2 * rows, 2 * columns, size // 4])

    level, channel = from_level(0)
    return level, channel


def _step_name(level: int, step: int) -> str:
    return f"level{level}_step{step}"


def _checkerboard_name(step: int) -> str:
    return f"checkerboard{step}"


def _check_choice(plan: Plan, field: str, choices: Sequence[str], name: str) -> None:
    value = getattr(plan, field)
    if value not in choices:
        raise UserError(f"{name}: `{field}` must be one of {choices}, got {value!r}.")


def _checked_image_shape(image_shape: Sequence[int], levels: int, name: str) -> tuple[int, int, int]:
    shape = tuple(int(size) for size in image_shape)
    if len(shape) != 3 or min(shape) < 1:
        raise UserError(f"{name}: `image_shape` must be (height, width, channels), got {shape}.")
    for size, axis in zip(shape[:2], ("height", "width"), strict=True):
        if size % 2**levels:
            raise UserError(
                f"{name}: the {axis} of `image_shape` must halve evenly {levels} times (levels={levels}), "
                f"got {shape}; use fewer levels, or images resized or padded to a multiple of {2**levels}."
            )
    return shape
