"""A matrix in the LU parametrisation of `InvertibleConv1x1`."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.linalg
import tensorflow as tf

from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError


def rotation_variables(
    num_channels: int, seed: int | Sequence[int], dtype: tf.DType, name: str
) -> tuple[tf.Variable, tf.Variable, tf.Variable, tf.Variable]:
    """New variables that hold the LU decomposition of a random rotation."""
    rng = np.random.default_rng(seed)
    rotation, triangle = np.linalg.qr(rng.standard_normal([num_channels, num_channels]))
    rotation *= np.sign(np.diag(triangle))  # uniform over the orthogonal group (Mezzadri 2007)
    lower_upper, log_diagonal, permutation, sign = decomposed(rotation, num_channels, name)

    def variable(value: np.ndarray, what: str, dtype: tf.DType, trainable: bool = True) -> tf.Variable:
        return tf.Variable(tf.constant(value, dtype), trainable=trainable, name=f"{name}_{what}")

    return (
        variable(lower_upper, "lower_upper", dtype),
        variable(log_diagonal, "log_diagonal", dtype),
        variable(permutation, "permutation", tf.int32, trainable=False),
        variable(sign, "sign", dtype, trainable=False),
    )


def decomposed(
    matrix: tf.Tensor | npt.ArrayLike, num_channels: int, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(lower_upper, log_diagonal, permutation, sign) of an invertible matrix, in float64."""
    arguments.check_shape(matrix, [num_channels] * 2, "weight", name)
    if tf.is_symbolic_tensor(matrix):
        raise UserError(f"{name}: `weight` must be known when it is set: not within a tf.function.")
    matrix = np.asarray(matrix, np.float64)
    if not np.isfinite(matrix).all():
        raise UserError(f"{name}: `weight` must be finite, but holds NaN or an infinity.")
    rank = np.linalg.matrix_rank(matrix)
    if rank < num_channels:
        raise UserError(f"{name}: `weight` must be invertible, but has rank {rank}.")
    permutation, lower, upper = scipy.linalg.lu(matrix, p_indices=True)
    diagonal = np.diag(upper)
    lower_upper = np.tril(lower, -1) + np.triu(upper, 1)
    return lower_upper, np.log(np.abs(diagonal)), permutation, np.sign(diagonal)
