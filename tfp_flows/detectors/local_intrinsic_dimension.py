"""Local intrinsic dimension: is there any volume behind a high density?"""

import numpy as np
import tensorflow as tf

from tfp_flows.detectors import models
from tfp_flows.detectors.calibration import tail_fraction
from tfp_flows.detectors.detector import Detector
from tfp_flows.distributions.protocols import FlowModel
from tfp_flows.numerics import Seed, noise, quantization

GREY_LEVEL = 1.0 / quantization.NUM_LEVELS


class LocalIntrinsicDimension(Detector):
    """score(x) = -ln min(p_L(x), p_R(x)), from the likelihood and the rank of the flow's Jacobian.

        R(x) = #{i : sigma_i(dy/dz) > t} = #{i : sigma_i(dz/dy) < 1 / t}

    R counts the directions in which a unit step of the latent moves the image y by more than t, here one
    grey level, 1/256: it estimates the dimension of what the model puts around x. An image can be
    out of distribution because its likelihood is low, or because, where the likelihood is high, the
    dimension, and so the probability mass, is small. p_L and p_R are the fractions of in-distribution
    images (given to `fit`) whose log-likelihood, or R, is as small or smaller.

    The paper reports the pair by an oracle: two thresholds that are the best in hindsight, with labels.
    This score needs none, and so cannot be compared with those numbers as if it were one of them. Published,
    with the oracle: FashionMNIST/MNIST 0.846, CIFAR-10/SVHN 0.943.

    `num_probes=None` counts exactly, from all singular values (a D x D Jacobian for each image: seconds);
    otherwise stochastic Lanczos quadrature estimates R from that many probes and `num_steps` products
    each with the Jacobian and its transpose.

    #### References

    [1]: Hamidreza Kamkari et al. A geometric explanation of the likelihood OOD detection paradox. ICML 2024.
         https://arxiv.org/abs/2403.18910
    [2]: Shashanka Ubaru, Jie Chen and Yousef Saad. Fast estimation of tr(f(A)) via stochastic Lanczos
         quadrature. SIAM Journal on Matrix Analysis and Applications, 2017.
    """

    name = "local_intrinsic_dimension"
    cost = "jacobian"

    def __init__(
        self,
        model: FlowModel,
        threshold: float = GREY_LEVEL,
        num_probes: int | None = None,
        num_steps: int = 30,
        seed: int = 0,
        batch_size: int = 16,
    ):
        """Takes a flow over dequantised images, or over vectors.

        Args:
          model: `tfp_flows.Dequantized`, or what has such a `.flow`; or a change of variables of vectors.
          threshold: t, in units of dequantised images (1/256 is a grey level), or of the vectors.
          num_probes: Probes of the estimate; None for the exact count.
          num_steps: Steps of Lanczos.
          seed: Of the probes.
          batch_size: Images at once.

        Raises:
          DetectorError: If the model is no flow, or a number makes no sense.
        """
        models.need_any_flow(model, self.name)
        settings = dict(threshold=threshold, num_probes=num_probes, num_steps=num_steps, seed=seed)
        super().__init__([model], settings, batch_size)

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        model = self.models[0]
        flow, y = models.flow_and_input(model, images, self.name)
        largest = 1.0 / self.settings["threshold"]
        if self.settings["num_probes"] is None:
            count = tf.map_fn(
                lambda one: _count_singular_values_below(flow.bijector.inverse, one, largest),
                y,
                parallel_iterations=1,
            )
        else:
            count = _estimate_singular_values_below(
                flow.bijector.inverse,
                y,
                largest,
                self.settings["num_probes"],
                self.settings["num_steps"],
                self.settings["seed"],
            )
        return tf.stack([models.log_prob(model, images), count], axis=-1)

    def _fit_statistics(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        return {"log_probs": np.sort(-statistics[:, 0]), "ranks": np.sort(-statistics[:, 1])}

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        p_likelihood = tail_fraction(-statistics[:, 0], fitted["log_probs"])
        p_rank = tail_fraction(-statistics[:, 1], fitted["ranks"])
        return -tf.math.log(tf.minimum(p_likelihood, p_rank))

    def _needed(self) -> tuple[str, ...]:
        return ("log_probs",)


def _count_singular_values_below(inverse, y, largest):
    """#{i : sigma_i(J) < largest} of J = dz/dy at one image `[H, W, C]` or vector, a scalar of its dtype."""
    size = y.shape.num_elements()
    y = y[tf.newaxis]
    with tf.GradientTape() as tape:
        tape.watch(y)
        z = inverse(y)
    jacobian = tf.reshape(tape.jacobian(z, y), [size, size])
    jacobian = tf.cast(jacobian, tf.float64)
    eigenvalues = tf.linalg.eigvalsh(tf.matmul(jacobian, jacobian, transpose_a=True))
    return tf.reduce_sum(tf.cast(eigenvalues < largest**2, y.dtype))


def _estimate_singular_values_below(inverse, y, largest, num_probes, num_steps, seed):
    """The count of `_count_singular_values_below`, estimated, for a batch `[B, H, W, C]`: `[B]`.

        #{lambda_i(A) < c} = Tr 1[A < c] ~ (D / K) sum_k sum_j tau_kj^2 1[theta_kj < c],    A = J^T J

    theta and tau: eigenvalues and first components of the eigenvectors of the tridiagonal matrix that
    Lanczos finds from a random unit vector. The vectors are kept orthogonal to all before them.
    """
    shape = y.shape[1:]
    size = shape.num_elements()
    num_steps = min(num_steps, size)

    def product(vectors):  # J^T J v, for [B, D]
        direction = tf.reshape(vectors, tf.shape(y))
        with tf.GradientTape() as outer:
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(y)
                z = inverse(tf.identity(y))
            weights = tf.zeros_like(z)
            outer.watch(weights)
            pulled = tape.gradient(z, y, output_gradients=weights)  # J^T w, linear in w
        # J v as the derivative of that: forward mode fails on tf.ensure_shape of an unknown batch (TF 2.21).
        forward = outer.gradient(pulled, weights, output_gradients=direction)
        return tf.reshape(tape.gradient(z, y, output_gradients=forward), tf.shape(vectors))

    def estimate(probe_seed):
        signs = tf.sign(noise.uniform([1, size], probe_seed, y.dtype) - 0.5)
        start = tf.repeat(signs / size**0.5, tf.shape(y)[0], axis=0)
        diagonal, off_diagonal = _lanczos(product, start, num_steps)
        tridiagonal = tf.linalg.diag(diagonal) + _symmetric_off_diagonal(off_diagonal)
        theta, vectors = tf.linalg.eigh(tf.cast(tridiagonal, tf.float64))
        below = tf.cast(theta < largest**2, tf.float64)
        return tf.reduce_sum(below * vectors[..., 0, :] ** 2, axis=-1)

    shares = tf.map_fn(
        estimate, Seed.of(seed).pairs(num_probes), parallel_iterations=1, fn_output_signature=tf.float64
    )
    return tf.cast(tf.reduce_mean(shares, axis=0) * size, y.dtype)


def _lanczos(product, start, num_steps):
    """Diagonal `[B, K]` and off-diagonal `[B, K - 1]` of Lanczos' tridiagonal matrix; K = num_steps."""
    vector = start
    basis = tf.TensorArray(start.dtype, num_steps, clear_after_read=False, element_shape=start.shape)
    diagonal = tf.TensorArray(start.dtype, num_steps)
    off_diagonal = tf.TensorArray(start.dtype, num_steps)

    def step(i, vector, basis, diagonal, off_diagonal):
        basis = basis.write(i, vector)
        image = product(vector)
        alpha = tf.reduce_sum(image * vector, axis=-1)
        known = basis.stack()  # rows not yet written are zero
        for _ in range(2):  # twice is enough (Kahan and Parlett)
            image -= tf.einsum("kb,kbd->bd", tf.einsum("kbd,bd->kb", known, image), known)
        beta = tf.norm(image, axis=-1)
        vector = tf.math.divide_no_nan(image, beta[:, tf.newaxis])
        return i + 1, vector, basis, diagonal.write(i, alpha), off_diagonal.write(i, beta)

    _, _, _, diagonal, off_diagonal = tf.while_loop(
        lambda i, *_: i < num_steps,
        step,
        (tf.constant(0), vector, basis, diagonal, off_diagonal),
        parallel_iterations=1,
    )
    return tf.transpose(diagonal.stack()), tf.transpose(off_diagonal.stack())[:, :-1]


def _symmetric_off_diagonal(values):
    return tf.linalg.diag(values, k=1) + tf.linalg.diag(values, k=-1)
