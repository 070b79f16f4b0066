"""Weight decay, decoupled from the gradient."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfp_flows import bijectors


def decaying(model: Any) -> list[tf.Variable]:
    """The trainable variables of a model that decay: matrices and kernels of its networks.

    Those of rank 2 or more, so no biases and scales; nor the factors of a flow's `InvertibleConv1x1`, which
    are no weights: W = P L U would shrink to a permutation, and the volume be no part of it.
    """
    members = [m for m in getattr(model, "submodules", ()) if isinstance(m, bijectors.InvertibleConv1x1)]
    spared = {id(variable) for member in members for variable in member.variables}
    return [v for v in model.trainable_variables if v.shape.rank >= 2 and id(v) not in spared]


def shrink(variables: Sequence[tf.Variable], rate: tf.Tensor) -> None:
    """w <- (1 - rate) w.

    The rate is that of learning times the decay, so that both follow one schedule (Loshchilov and Hutter
    2019, https://arxiv.org/abs/1711.05101, algorithm 2). Called where all replicas of a strategy meet.

    Args:
      variables: Variables, as from `decaying`.
      rate: Scalar.
    """

    def move(variable: tf.Variable) -> None:
        variable.assign_sub(tf.cast(rate, variable.dtype) * variable)

    everywhere = tf.distribute.get_strategy().extended  # each device moves its own copy
    for variable in variables:
        everywhere.update(variable, move)
