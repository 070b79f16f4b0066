"""Is one latent a draw of independent standard normals? Statistics of goodness of fit, `[B]`, in float64.

Each takes latents `z` that the prior standardised (`normal_scores`); if they are what the model says, their
coordinates are independent and N(0, 1), and each statistic has a distribution that is known.
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

# What tfd.Independent(...) and tfd.Sample(...) return, whatever their members are.
REPEATING: tuple[type, ...] = (tfd.Independent.__bases__[0], tfd.Sample.__bases__[0])
LAGS = (1, 2, 4)  # of `autocorrelation`, along rows and columns
SMALLEST_MEAN = 1e-8  # of a power spectrum
FAR = 30.0  # standard deviations, from where on the normal's tail is its density over the distance


def normal_scores(prior: tfd.Distribution, z: tf.Tensor) -> tf.Tensor:
    """Latents of `prior` as what should be independent standard normals: float64, the shape of z.

        (z - loc) / scale of normals;    Phi^-1(F(z)) of other scalar distributions

    Args:
      prior: A product of scalar distributions (`tfd.Sample`, `tfd.Independent`), or any with a mean and a
        standard deviation, by which the coordinates are standardised.
      z: `[B] + event`.

    Raises:
      NotImplementedError: If it has neither.
    """
    each = prior
    while isinstance(each, REPEATING):
        each = each.distribution  # type: ignore[attr-defined]
    if each.event_shape != [] or isinstance(each, tfd.Normal):
        return tf.cast((z - prior.mean()) / prior.stddev(), tf.float64)
    # From the nearer end, lest a probability close to 1 be rounded.
    below, above = (tf.cast(f(z), tf.float64) for f in (each.log_cdf, each.log_survival_function))
    distance = -tf.math.ndtri(tf.exp(tf.minimum(below, above)))
    return tf.where(below < above, -distance, distance)


def anderson_darling(z: tf.Tensor) -> tf.Tensor:
    """A^2 of the coordinates of each latent `[B, ...]` against a normal of their own mean and variance.

        A^2 = -d - (1/d) sum_i (2 i - 1) (log Phi(w_i) + log Phi(-w_(d + 1 - i))),    w the ascending
        coordinates, less their mean, over their standard deviation (of d - 1)

    Large where they are no normals: heavy tails, two humps, a constant. That of `scipy.stats.anderson`.
    """
    z = _flat(z)
    size = z.shape[-1]
    mean, variance = tf.nn.moments(z, axes=[-1], keepdims=True)
    w = tf.sort((z - mean) / tf.sqrt(variance * size / (size - 1)), axis=-1)
    below, above = _log_normal_tails(w)
    weights = tf.constant((2.0 * np.arange(1, size + 1) - 1.0) / size, z.dtype)
    # The weights of log Phi(-w) are those from behind.
    return -tf.reduce_sum(weights * below + weights[::-1] * above, axis=-1) - size


def spectrum_variation(z: tf.Tensor) -> tf.Tensor:
    """Standard deviation over mean of the power spectrum |FFT(z)_k|^2, k = 0..d/2, of flattened latents.

    The spectrum of independent coordinates is flat: the powers are exponential variables of one mean, and
    this is near 1, whatever their variance. Correlation of coordinates at any distance raises it.
    """
    power = tf.abs(tf.signal.rfft(_flat(z))) ** 2
    mean, variance = tf.nn.moments(power, axes=[-1])
    count = power.shape[-1]
    return tf.sqrt(variance * count / (count - 1)) / (mean + SMALLEST_MEAN)


def autocorrelation(z: tf.Tensor) -> tf.Tensor:
    """sum_k n_k r_k^2, r_k the correlation of latents `[B, H, W, C]` with themselves shifted (Box-Pierce).

    Shifts by 1, 2 and 4 rows, as many columns, and one channel: n_k pairs, each `n_k r_k^2` about chi^2(1).
    """
    power = tf.reduce_mean(z**2, axis=[1, 2, 3])
    shifts = [(axis, lag) for axis in (1, 2) for lag in LAGS] + [(3, 1)]
    total = tf.zeros_like(power)
    for axis, lag in shifts:
        size = z.shape[axis]
        if size <= lag:
            continue
        pairs = _range(z, axis, lag, size) * _range(z, axis, 0, size - lag)
        total += tf.reduce_sum(pairs, axis=[1, 2, 3]) ** 2 / math.prod(pairs.shape[1:])
    return total / power**2


def group_means(z: tf.Tensor, groups: np.ndarray) -> tf.Tensor:
    """sum_g n_g mean_g^2: chi^2 of as many degrees as there are groups of coordinates.

    Args:
      z: `[B, H, W, C]`.
      groups: Integers `[H, W, C]`, 0..G - 1.
    """
    sums, counts = _by_group(z, groups)
    return tf.reduce_sum(sums**2 / counts, axis=-1)


def group_powers(z: tf.Tensor, groups: np.ndarray) -> tf.Tensor:
    """(sum_g z^2 - n_g) / sqrt(2 n_g) of each group: `[B, G]`, of mean 0 and variance 1, nearly normal."""
    sums, counts = _by_group(z**2, groups)
    return (sums - counts) / tf.sqrt(2.0 * counts)


def excess_kurtosis(z: tf.Tensor) -> tf.Tensor:
    """sqrt(d / 24) (m_4 / m_2^2 - 3), m the central moments: about N(0, 1); positive for heavy tails."""
    z = _flat(z)
    squares = (z - tf.reduce_mean(z, axis=-1, keepdims=True)) ** 2
    second, fourth = (tf.reduce_mean(value, axis=-1) for value in (squares, squares**2))
    return math.sqrt(z.shape[-1] / 24.0) * (fourth / second**2 - 3.0)


def _log_normal_tails(w: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(log Phi(w), log Phi(-w)), from one complementary error function."""
    distance = tf.abs(w)
    near = tf.minimum(distance, FAR)
    tail = 0.5 * tf.math.erfc(near / math.sqrt(2.0))
    far = -0.5 * distance**2 - tf.math.log(tf.maximum(distance, FAR) * math.sqrt(2.0 * math.pi))
    log_tail, log_rest = tf.where(distance > FAR, far, tf.math.log(tail)), tf.math.log1p(-tail)
    return tf.where(w < 0, log_tail, log_rest), tf.where(w < 0, log_rest, log_tail)


def _flat(z: tf.Tensor) -> tf.Tensor:
    return tf.reshape(z, [-1, math.prod(z.shape[1:])])


def _range(z: tf.Tensor, axis: int, start: int, stop: int) -> tf.Tensor:
    where: Sequence[slice] = [slice(None)] * axis + [slice(start, stop)]
    return z[tuple(where)]


def _by_group(z: tf.Tensor, groups: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    """(sums over each group `[B, G]`, their sizes `[G]`)."""
    members = np.eye(int(groups.max()) + 1)[np.ravel(groups)]  # [D, G]
    return tf.matmul(_flat(z), tf.constant(members, z.dtype)), tf.constant(members.sum(axis=0), z.dtype)
