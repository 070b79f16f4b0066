"""Data-dependent initialisation of every `ActNorm` in a composition (Glow, section 3.1)."""

from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flows.bijectors import _members, actnorm, conditioned_chain, factor_out, fused_chain, glow
from tfp_flows.checks.errors import UserError


def initialize_actnorms(bijector: tfb.Bijector, x: tf.Tensor, **conditions: Any) -> tf.Tensor:
    """Sets each `ActNorm` inside `bijector` from the data that reaches it.

    Walks from the image to the latent; each `ActNorm` is set so that what it passes on has mean 0 and
    variance 1 in every channel, and the next layer sees that. It is an explicit call, made once,
    before training; the state it leaves is the `ActNorm`s' own variables, saved like any others.

    Args:
      bijector: `tfb.Bijector`: an `ActNorm`, a `FusedChain`, `FactorOut`, `tfb.Chain`, or a bijector
        without any `ActNorm`.
      x: Floating tensor `[B] + event`, image side; some hundred images do.
      **conditions: As for `bijector.inverse`.

    Returns:
      `bijector.inverse(x, **conditions)` under the new parameters.

    Raises:
      ValueError: If an `ActNorm` sits inside a bijector that this walk cannot enter, or inside a
        `tfb.Invert` (where its statistics would be those of latents, which there are none of yet).
    """
    if isinstance(bijector, actnorm.ActNorm):
        return bijector.initialize(x)
    if isinstance(bijector, glow.Glow | conditioned_chain.ConditionedChain):
        conditions = bijector._routed(x, conditions.pop("condition", None), conditions)
    if fused_chain.is_chain(bijector):
        _members.check_names(conditions, bijector.bijectors, bijector.name)
        for member in bijector.bijectors:
            x = initialize_actnorms(member, x, **conditions.get(member.name, {}))
        return x
    if isinstance(bijector, factor_out.FactorOut):
        staying, leaving = bijector.split(x)
        of_rest = conditions.pop(bijector.rest.name, {})
        z_leaving, _ = bijector.normalize(leaving, staying, **conditions)
        return tf.concat([initialize_actnorms(bijector.rest, staying, **of_rest), z_leaving], axis=-1)
    inside = [m.name for m in bijector.submodules if isinstance(m, actnorm.ActNorm)]
    if inside:
        raise UserError(
            f"{bijector.name}: cannot initialise the ActNorm {inside[0]!r} inside a "
            f"{type(bijector).__name__}; call its initialize() with the data that reaches it."
        )
    return bijector.inverse(tf.identity(x), **conditions)
