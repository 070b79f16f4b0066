"""The second-order explanation: which data a density prefers follows from their variances.

Around x0 = E_p*[x], the mean of the training data, to second order (Nalisnick et al. 2019, section 5):

    E_q[log p(x)] - E_p*[log p(x)]  ~  g^T delta + 1/2 delta^T H delta + 1/2 Tr(H (Sigma_q - Sigma_p*))

g and H are gradient and Hessian of log p at x0, delta = E_q[x] - x0. The paper sets delta = 0 and keeps
the last term, with diagonal covariances. All x here are dequantised, y = (x + u) / 256.
"""

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from analysis.errors import AnalysisError
from analysis.moments import Moments
from tfp_flows import bijectors
from tfp_flows.numerics import hessian


class Expansion:
    """log p around x0, to second order; what is known of the model, whatever q is.

    Attributes:
      x0: float64 `[H, W, C]`, E_p*[y], in the unit interval.
      log_prob: log p(x0), nats.
      gradient: g, float64 `[H, W, C]`.
      diagonal: H_ii, float64 `[H, W, C]`, exact.
    """

    def __init__(
        self,
        flow: tfd.Distribution,
        x0: np.ndarray,
        log_prob: float,
        gradient: np.ndarray,
        diagonal: np.ndarray,
    ):
        """Keeps the parts; `expand` computes them."""
        self.x0 = x0
        self.log_prob = log_prob
        self.gradient = gradient
        self.diagonal = diagonal
        point = tf.constant(x0[np.newaxis], flow.dtype)
        # Compiled once for each number of vectors or probes, whatever q is.
        self._forms = tf.function(
            lambda vectors: hessian.hessian_quadratic_forms(flow.log_prob, point, vectors), autograph=False
        )
        self._hutchinson = tf.function(
            lambda weights, num_probes, seed: hessian.hessian_trace(
                flow.log_prob, point, weights, num_probes, seed, return_standard_error=True
            ),
            autograph=False,
        )
        self._dtype = flow.dtype

    def first_order(self, mean: np.ndarray) -> float:
        """g^T (mean - x0), nats; `mean` `[H, W, C]` in the unit interval."""
        return float(np.sum(self.gradient * (mean - self.x0)))

    def mean_curvature(self, mean: np.ndarray) -> float:
        """1/2 (mean - x0)^T H (mean - x0), nats."""
        return 0.5 * float(self.quadratic_forms((mean - self.x0)[np.newaxis])[0])

    def trace_term(self, variance_difference: np.ndarray) -> float:
        """1/2 Tr(H D), D = diag(Sigma_q - Sigma_p*) `[H, W, C]`, nats: exact for diagonal D."""
        return 0.5 * float(np.sum(self.diagonal * variance_difference))

    def hutchinson_trace_term(
        self, variance_difference: np.ndarray, num_probes: int, seed: int = 0
    ) -> tuple[float, float]:
        """(estimate of 1/2 Tr(H D), its standard error) from random probes."""
        weights = tf.constant(variance_difference, self._dtype)
        trace, error = self._hutchinson(weights, num_probes, tf.constant(seed))
        return 0.5 * float(trace[0]), 0.5 * float(error[0])

    def quadratic_forms(self, vectors: np.ndarray) -> np.ndarray:
        """v^T H v of each row of `vectors` `[K, H, W, C]`: `[K]`, nats."""
        vectors = tf.constant(vectors[:, np.newaxis], self._dtype)
        return self._forms(vectors).numpy()[:, 0].astype(np.float64)

    def full_covariance_term(self, images: np.ndarray, mean: np.ndarray) -> tuple[float, float]:
        """1/2 Tr(H Sigma) with the full covariance, from samples, without a d x d matrix.

            1/2 E[(y - mean)^T H (y - mean)]

        Args:
          images: `[N, H, W, C]` in the unit interval, drawn at random.
          mean: E[y] `[H, W, C]` over the whole data set.

        Returns:
          (estimate, its standard error), nats.
        """
        forms = 0.5 * self.quadratic_forms(images - mean)
        return float(forms.mean()), float(forms.std(ddof=1) / np.sqrt(len(forms)))


def expand(flow: tfd.Distribution, moments: Moments, chunk: int | None = None) -> Expansion:
    """Expands a flow's log-density around the mean of its training data.

    Args:
      flow: Distribution over dequantised images with a `log_prob` that TensorFlow can differentiate
        twice: a flow, or a relaxed VAE or PixelCNN likelihood.
      moments: `Moments` of the training data p*.
      chunk: As for `hessian_trace`.

    Returns:
      `Expansion`.

    Raises:
      AnalysisError: If the shapes do not fit, or p* has no variance anywhere.
    """
    if tuple(flow.event_shape) != moments.mean.shape:
        raise AnalysisError(
            f"second order: the model's images are {tuple(flow.event_shape)}, but the moments are of "
            f"images {moments.mean.shape}."
        )
    if not moments.variance.any():
        raise AnalysisError(
            "second order: the training data have zero variance in every pixel, so there is nothing to "
            "compare variances with."
        )
    x = tf.constant(moments.unit_mean[np.newaxis], flow.dtype)

    @tf.function(autograph=False)
    def compute(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            log_prob = flow.log_prob(x)
        diagonal = hessian.hessian_diagonal(flow.log_prob, x, chunk)
        return log_prob[0], tape.gradient(log_prob, x)[0], diagonal[0]

    log_prob, gradient, diagonal = (value.numpy().astype(np.float64) for value in compute(x))
    return Expansion(flow, moments.unit_mean, float(log_prob), gradient, diagonal)


def linear_part_diagonal(flow: tfd.Distribution) -> np.ndarray:
    """The diagonal of -J0^T J0 / sigma_psi^2, J0 the flow's Jacobian with every shift network at zero.

        H_ii ~ -(1 / sigma_psi^2) ||J0 e_i||^2

    J0 holds everything but the networks: squeezes, actnorms, 1x1 kernels. For a constant-volume flow
    without couplings this is the Hessian itself; with couplings it leaves out what the networks add.

    Args:
      flow: A flow of constant volume with a normal prior of mean 0 and one scale: CV-Glow.

    Returns:
      float64 `[H, W, C]`, nats per squared unit.

    Raises:
      AnalysisError: If the flow is none of this kind.
    """
    scale = _prior_scale(flow)
    shape = flow.event_shape.as_list()
    size = int(np.prod(shape))
    columns = []
    origin = _linear(flow.bijector, tf.zeros([1, *shape], flow.dtype))
    for start in range(0, size, 256):
        basis = tf.one_hot(range(start, min(start + 256, size)), size, dtype=flow.dtype)
        value = _linear(flow.bijector, tf.reshape(basis, [-1, *shape])) - origin
        columns.append(tf.reduce_sum(value**2, axis=[1, 2, 3]).numpy())
    return -np.concatenate(columns).astype(np.float64).reshape(shape) / scale**2


def paper_estimate(flow: tfd.Distribution, moments_q: Moments, moments_p: Moments) -> float:
    """The paper's closed form (section 5), a heuristic.

        -(1 / (2 sigma_psi^2)) sum_c alpha_c^2 sum_{h,w} (sigma^2_{q,hwc} - sigma^2_{p*,hwc})
        alpha_c = prod_k sum_j u_{k,c,j}

    with u_k the k-th 1x1 kernel, an actnorm before it folded in. For several kernels alpha_c^2 is not
    the diagonal of W^T W; and after a squeeze c is no channel of the image, so that the formula has no
    meaning there. `linear_part_diagonal` is what it approximates.

    Args:
      flow: A flow of constant volume and normal prior that does not squeeze.
      moments_q: `Moments` of the other data.
      moments_p: `Moments` of the training data.

    Returns:
      Nats.

    Raises:
      AnalysisError: If the flow squeezes, or is none of this kind.
    """
    scale = _prior_scale(flow)
    alpha = np.ones(flow.event_shape[-1])
    kernel = np.eye(flow.event_shape[-1])
    for layer in _leaves(flow.bijector):
        if isinstance(layer, bijectors.ActNorm):
            kernel = np.diag(np.exp(np.asarray(layer.log_scale, np.float64)))
        elif isinstance(layer, bijectors.InvertibleConv1x1):
            alpha = alpha * (np.asarray(layer.kernel(), np.float64) @ kernel).sum(axis=1)
            kernel = np.eye(len(alpha))
        elif isinstance(layer, bijectors.Squeeze | bijectors.FactorOut):
            raise AnalysisError(
                f"second order: the paper's formula needs channels that stay those of the image, but "
                f"this flow has a {type(layer).__name__} ({layer.name})."
            )
    alpha = alpha * np.diag(kernel)
    difference = (moments_q.unit_variance - moments_p.unit_variance).sum(axis=(0, 1))
    return float(-0.5 / scale**2 * np.sum(alpha**2 * difference))


def _prior_scale(flow):
    """sigma_psi; raises `AnalysisError` unless the flow is of constant volume with such a prior."""
    if not bijectors.is_constant_log_det(flow.bijector):
        raise AnalysisError(
            "second order: this closed form holds for flows of constant volume (--coupling=additive); "
            "this one's log-determinant depends on the image."
        )
    prior = getattr(flow.distribution, "distribution", None)
    if not isinstance(prior, tfd.Normal) or np.any(prior.loc) or np.ptp(prior.scale) > 0:
        raise AnalysisError(
            "second order: this closed form needs a normal prior of mean 0 and one scale (--prior=normal)."
        )
    return float(np.ravel(prior.scale)[0])


def _linear(bijector, x):
    """The image -> latent map with every shift network at zero."""
    if bijectors.is_chain(bijector):
        for member in bijector.bijectors:
            x = _linear(member, x)
        return x
    if isinstance(bijector, bijectors.FactorOut):
        x_s, x_l = bijector.split(x)
        return tf.concat([_linear(bijector.rest, x_s), x_l], axis=-1)
    if isinstance(bijector, bijectors.AdditiveCoupling):
        return tf.identity(x)
    return bijector.inverse(x)


def _leaves(bijector):
    """The layers of a flow, image side first; a `FactorOut` counts as one, its rest follows."""
    if bijectors.is_inverted(bijector):
        yield from _leaves(bijector.bijector)
    elif bijectors.is_chain(bijector):
        for member in bijector.bijectors:
            yield from _leaves(member)
    else:
        yield bijector
        if isinstance(bijector, bijectors.FactorOut):
            yield from _leaves(bijector.rest)
