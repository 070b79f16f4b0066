"""The bijector of Glow: squeeze, steps and factor-outs, level within level (Kingma and Dhariwal 2018)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows.bijectors import _condition, _glow_levels
from tfp_flows.bijectors._shared_condition import Condition, SharedCondition
from tfp_flows.checks.errors import UserError


class Glow(SharedCondition):
    """Glow for images `[H, W, C]`; the latent has the image's shape.

    From the image (above) to the latent (`inverse`), with K = `steps_per_level` and three levels:

        x                                        [H, W, C]
        |  (steps at full resolution, with `checkerboard_steps`)
        |  squeeze                               [H/2, W/2, 4C]
        |  K x (actnorm, 1x1 conv, coupling)
        |  factor out: the first 2C channels stay ..... the last 2C leave, normalised
        |                                          :    given those that stay
        +--  squeeze                               :    [H/4, W/4, 8C]
          |  K x (actnorm, 1x1 conv, coupling)     :
          |  factor out: the first 4C stay ........ the last 4C leave
          |                                        :    :
          +--  squeeze                             :    :    [H/8, W/8, 16C]
            |  K x (actnorm, 1x1 conv, coupling)   :    :
            |                                      :    :
        z = all levels, unsqueezed, in one tensor        [H, W, C]

    A level's leaving channels are the lower row of every 2 x 2 block that it squeezed. So the row of z alone
    says which level a dimension left at (0 is the finest), here the first eight rows of three levels:

        row of z    0  1  2  3  4  5  6  7
        level       2  0  1  0  2  0  1  0      min(how often 2 divides the row, levels - 1)

    `latent_levels` and `latent_channels` have it for each dimension. Log-determinant and direction are those
    of `FusedChain`, whose members, `level0_step0_coupling` and so on, are as `bijectors` lists them.

    #### Example

    ```python
    glow = tfp_flows.bijectors.Glow((32, 32, 3), levels=3, steps_per_level=8, hidden_channels=64)
    base = tfd.Sample(tfd.Normal(0.0, 1.0), [32, 32, 3])
    flow = tfd.TransformedDistribution(base, glow)
    flow.log_prob(y)                   # y of [0, 1): [B, 32, 32, 3] -> [B]
    ```

    #### A condition

    With `condition_channels=K` every network is called as `network(x, condition=h)`, and the bijector takes
    one keyword for all of them:

    ```python
    flow.log_prob(y, bijector_kwargs={"condition": h})
    flow.sample(5, bijector_kwargs={"condition": h})           # h: [K], or [5, K]
    flow.sample([5, 8], bijector_kwargs={"condition": h})      # h: [8, K]; 5 images for each of its 8 rows
    ```

    A condition is a vector `[..., K]` or a map `[..., H, W, K]`. The axes in front are those of the batch:
    they are broadcast against it from the right, and anything else is refused. A level at 1/2^i of the
    resolution gets the means of a map over blocks of 2^i x 2^i pixels.

    #### References

    [1]: Diederik P. Kingma and Prafulla Dhariwal. Glow: Generative Flow with Invertible 1x1
         Convolutions. NeurIPS 2018. https://arxiv.org/abs/1807.03039 (figure 2)
    """

    size_argument = "condition_channels"
    size_unit = "channels"

    def __init__(
        self,
        image_shape: Sequence[int],
        levels: int = 3,
        steps_per_level: int = 8,
        network: str | Callable[[int, int], Callable] = "conv",
        hidden_channels: int = 128,
        coupling: str = "affine",
        scale_form: str = "tanh",
        shift_first: bool = False,
        input_limit: float = 5.0,
        factor_out: str | None = None,
        factor_out_scale_form: str | None = None,
        factor_out_network: Callable[[int, int], Callable] | None = None,
        leaves: str = "untouched",
        condition_channels: int = 0,
        seed: int = 0,
        reversible: bool = False,
        dtype: tf.DType = tf.float32,
        validate_args: bool = False,
        name: str = "glow",
        num_bins: int = 8,
        num_components: int = 8,
        checkerboard_steps: int = 0,
    ) -> None:
        """Creates all members and their networks.

        Args:
          image_shape: (H, W, C); H and W must be divisible by 2**levels.
          levels: Positive `int`: how often the resolution is halved.
          steps_per_level: Positive `int`, K.
          network: "conv" (`networks.ConvNetwork`), "highway" (`HighwayNetwork`), "attention"
            (`AttentionNetwork`), "transformer" (`TransformerNetwork`), or a factory
            `network(in_channels, out_channels)`, called once for each step; see `AffineCoupling`. A
            factory sees to dtype and condition itself, and to seeds: one seed alone would give every step
            the same first weights.
          hidden_channels: Width of the networks that are named, not made by a factory.
          coupling: "affine", "additive", "spline" (`SplineTransform`) or "mixture" (`MixtureTransform`).
          scale_form: "tanh", "sigmoid" or "exp", of affine couplings and factor-outs: see `AffineCoupling`.
          shift_first: z = s (x + t) in affine couplings and factor-outs, in the place of z = s x + t: as the
            code of the paper has it.
          input_limit: Networks see their inputs clipped to [-input_limit, input_limit]; 0 for as they are.
            Networks of ReLUs grow as their inputs do, and the output of one coupling is the input of the
            next: far from the data shifts would grow from step to step, and with them what the inverse makes
            of a rounding error.
          factor_out: "affine", "shift" or "none", see `FactorOut`; by default "shift" for additive couplings
            and "affine" for all others.
          factor_out_scale_form: As `scale_form`, of affine factor-outs; by default that of the couplings.
          factor_out_network: Factory of their networks; `networks.ConvLayer` by default.
          leaves: Which half of the last coupling leaves a level: "untouched", or "transformed". The last
            channels leave; so the couplings transform the first, or the last channels.
          condition_channels: K, the size of the condition, 0 for none.
          seed: Python `int`, of the 1x1 convolutions and of the networks that are named.
          reversible: Python `bool`: save memory in gradients; see `FusedChain`.
          dtype: Floating dtype.
          validate_args: Python `bool`, as in every TFP bijector.
          name: Python `str`.
          num_bins: Bins of spline couplings, an `int` of at least 2.
          num_components: Logistics of mixture couplings, a positive `int`.
          checkerboard_steps: How many steps, with couplings whose `split` is "checkerboard", come before the
            first squeeze, as in RealNVP and Flow++.

        Raises:
          ValueError: If an argument is not of this kind, or the image's shape does not fit.
        """
        parameters = dict(locals())
        arguments = {field: parameters[field] for field in _glow_levels.FIELDS}
        plan = _glow_levels.checked(_glow_levels.Plan(**arguments), name)
        if isinstance(network, _glow_levels.Built):
            plan, members = network.of(plan, name)
        else:
            members = plan.members()
        super().__init__(members, reversible=reversible, validate_args=validate_args, name=name)
        self._plan = plan
        parameters["network"] = _glow_levels.Built(members, plan)  # a copy shares them
        known = {key: value for key, value in parameters.items() if key not in ("self", "__class__")}
        self._parameters = self._no_dependency(known)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self._plan.image_shape

    @property
    def condition_channels(self) -> int:
        """K, the size of the condition; 0 for none."""
        return self._plan.condition_channels

    @property
    def latent_levels(self) -> np.ndarray:
        """`[H, W, C]`, the level that each dimension of the latent left at; 0 is the finest."""
        return _glow_levels.latent_map(self.image_shape, self._plan.levels)[0]

    @property
    def latent_channels(self) -> np.ndarray:
        """`[H, W, C]`, the channel that each dimension of the latent was in at its level."""
        return _glow_levels.latent_map(self.image_shape, self._plan.levels)[1]

    def _routed(
        self, value: tf.Tensor, condition: Condition | None, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        shape = value.shape
        if shape.rank is not None and not shape[-3:].is_compatible_with(self.image_shape):
            raise UserError(
                f"{self.name}: images and latents must have shape [..., "
                f"{', '.join(map(str, self.image_shape))}], got {tuple(shape)}."
            )
        return super()._routed(value, condition, kwargs)

    def _of_members(self, condition: Condition, value: tf.Tensor) -> dict[str, Any]:
        size, places = self._plan.condition_channels, self.image_shape[:2]
        given = _condition.broadcast(condition, value, 3, size, self.name, places)
        by_level = _condition.per_level(given, value.shape.rank, self._plan.levels)
        return self._plan.routed(given, by_level)
