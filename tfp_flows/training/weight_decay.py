"""Weight decay, decoupled from the gradient."""

from collections.abc import Sequence

import tensorflow as tf


def shrink(variables: Sequence[tf.Variable], rate: tf.Tensor) -> None:
    """w <- (1 - rate) w for the variables of rank 2 or more: matrices and kernels, no biases and scales.

    The rate is that of learning times the decay, so that both follow one schedule (Loshchilov and Hutter
    2019, https://arxiv.org/abs/1711.05101, algorithm 2). Called where all replicas of a strategy meet.

    Args:
      variables: Variables.
      rate: Scalar.
    """

    def move(variable: tf.Variable) -> None:
        variable.assign_sub(tf.cast(rate, variable.dtype) * variable)

    everywhere = tf.distribute.get_strategy().extended  # each device moves its own copy
    for variable in variables:
        if variable.shape.rank >= 2:
            everywhere.update(variable, move)
