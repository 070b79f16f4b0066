"""Gradients of an image's log-likelihood with respect to the weights."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_flows.detectors import models
from tfp_flows.detectors.calibration import tail_fraction
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.distributions.protocols import DensityModel

PARALLEL_ITERATIONS = 4
SMALLEST_SQUARE = 1e-30
RELATIVE_DAMPING = 1e-3


class GradientNorms(Detector):
    """score(x) = -sum_l log N(f_l(x); mu_l, sigma_l^2),     f_l(x) = log ||d log p(x) / d theta_l||^2.

    One feature for each variable theta_l of the model ("layer"); their means and variances are those of
    in-distribution images. A layer-wise, diagonal approximation to the Fisher information metric of the
    gradient, which the authors show not to depend on how the data are represented, as the likelihood does.

    It costs a gradient for each single image: slow. The authors' numbers were not at hand; see the
    README for ours.

    #### References

    [1]: Sam Dauncey et al. Approximations to the Fisher information metric of deep generative models for
         out-of-distribution detection. TMLR 2024. https://arxiv.org/abs/2403.01485
    """

    name = "gradient_norms"
    may_be_infinite = ("scale",)  # of a gradient that never varies
    cost = "slow"
    log_prob_first = False

    def __init__(self, model: DensityModel, batch_size: int = 32):
        """Takes a density model with `trainable_variables`."""
        super().__init__([model], batch_size=batch_size)
        _variables(model, self.name)

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        return tf.math.log(tf.maximum(squared_norms(self.models[0], images), SMALLEST_SQUARE))

    def _fit_statistics(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        if len(statistics) < 2:
            raise DetectorError(f"{self.name}: fit needs at least two images, got {len(statistics)}.")
        scale = statistics.std(axis=0, ddof=1)
        varies = scale > 1e-9 * np.maximum(1.0, np.abs(statistics).max(axis=0))
        if not varies.any():
            raise DetectorError(f"{self.name}: no gradient varies over the images given to fit.")
        return {"loc": statistics.mean(axis=0), "scale": np.where(varies, scale, np.inf)}

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        used = tf.math.is_finite(fitted["scale"])  # a gradient that never varies says nothing
        scale = tf.where(used, fitted["scale"], 1.0)
        terms = 0.5 * ((statistics - fitted["loc"]) / scale) ** 2 + tf.math.log(scale)
        return tf.reduce_sum(tf.where(used, terms + 0.5 * np.log(2 * np.pi), 0.0), axis=-1)

    def _needed(self) -> tuple[str, ...]:
        return ("loc",)


class ScoreTest(Detector):
    """Fisher's combination of a score test and a typicality test: score(x) = -2 (ln p_S(x) + ln p_T(x)).

        S(x) = g^T F^-1 g,    g = d log p(x) / d theta,     F = diag(E[g g^T])
        T(x) = |-log p(x) - H|

    p_S and p_T are the fractions of in-distribution images (those given to `fit`) whose statistic is as
    large or larger. The Fisher information F is diagonal and estimated from the first
    `num_fisher_images`; a thousandth of its mean over a variable is added to it, lest a weight that is
    hardly ever used decides. Bergamin et al. use the same two statistics; their estimate of F and their
    tests differ in detail.

    Published AUROC: FashionMNIST/MNIST 0.96, CIFAR-10/SVHN 0.87 (authors).

    #### References

    [1]: Federico Bergamin et al. Model-agnostic out-of-distribution detection using combined statistical
         tests. AISTATS 2022. https://arxiv.org/abs/2203.01097
    """

    name = "score_test"
    cost = "slow"
    prepares = True

    def __init__(self, model: DensityModel, num_fisher_images: int = 256, batch_size: int = 32):
        """Takes a density model with `trainable_variables`."""
        super().__init__([model], {"num_fisher_images": num_fisher_images}, batch_size)
        self._num_variables = len(_variables(model, self.name))

    def _prepare(self, images: np.ndarray) -> None:
        images = images[: self.settings["num_fisher_images"]]
        signature = [tf.TensorSpec(images.shape[1:], images.dtype)]
        gradient = tf.function(
            lambda image: _gradients(self.models[0], image), input_signature=signature, autograph=False
        )
        sums = [np.zeros([], np.float64)] * self._num_variables
        for image in images:
            sums = [
                s + g.numpy().astype(np.float64) ** 2 for s, g in zip(sums, gradient(image), strict=True)
            ]
        for i, total in enumerate(sums):
            fisher = total / len(images)
            damped = fisher + RELATIVE_DAMPING * fisher.mean()
            inverse = np.divide(1.0, damped, out=np.zeros_like(damped), where=damped > 0)
            self.fitted[f"inverse_fisher_{i}"] = inverse.astype(np.float32)

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        weights = [tf.constant(self.fitted[f"inverse_fisher_{i}"]) for i in range(self._num_variables)]
        score = tf.reduce_sum(squared_norms(self.models[0], images, weights), axis=-1)
        return tf.stack([models.log_prob(self.models[0], images), score], axis=-1)

    def _fit_statistics(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        entropy = -statistics[:, 0].mean()
        return {
            "entropy": np.asarray(entropy),
            "typicality": np.sort(np.abs(-statistics[:, 0] - entropy)),
            "score": np.sort(statistics[:, 1]),
        }

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        typicality = tf.abs(-statistics[:, 0] - fitted["entropy"])
        p_typicality = tail_fraction(typicality, fitted["typicality"])
        p_score = tail_fraction(statistics[:, 1], fitted["score"])
        return -2.0 * (tf.math.log(p_typicality) + tf.math.log(p_score))

    def _needed(self) -> tuple[str, ...]:
        return ("entropy",)

    def _check_prepared(self) -> None:
        if self.statistics.alone:  # they are in the stored graph
            return
        names = [f"inverse_fisher_{i}" for i in range(self._num_variables)]
        if not any(name in self.fitted for name in names):
            raise DetectorError(f"{self.name}: call fit first, with in-distribution images.")
        for name, variable in zip(names, _variables(self.models[0], self.name), strict=True):
            found = self.fitted[name].shape if name in self.fitted else None
            if found != tuple(variable.shape):
                raise DetectorError(
                    f"{self.name}: {name} must have shape {tuple(variable.shape)}, got {found}; fit again."
                )


def squared_norms(
    model: DensityModel, images: tf.Tensor, weights: Sequence[tf.Tensor] | None = None
) -> tf.Tensor:
    """sum_i w_i (d log p(x) / d theta_i)^2 within each variable, for each image: `[B, L]`."""

    def of_image(image):
        gradients = _gradients(model, image)
        squares = [tf.square(g) for g in gradients]
        if weights is not None:
            squares = [s * tf.cast(w, s.dtype) for s, w in zip(squares, weights, strict=True)]
        return tf.stack([tf.reduce_sum(s) for s in squares])

    dtype = _variables(model, "squared_norms")[0].dtype
    return tf.map_fn(of_image, images, fn_output_signature=dtype, parallel_iterations=PARALLEL_ITERATIONS)


def _gradients(model: DensityModel, image: tf.Tensor) -> list[tf.Tensor]:
    """d log p(x) / d theta of one image, a tensor for each trainable variable."""
    variables = _variables(model, "gradients")
    with tf.GradientTape() as tape:
        log_prob = models.log_prob(model, image[tf.newaxis])[0]
    gradients = tape.gradient(log_prob, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [tf.convert_to_tensor(gradient) for gradient in gradients]


def _variables(model: DensityModel, owner: str) -> Sequence[tf.Variable]:
    variables = getattr(model, "trainable_variables", ())
    if not variables:
        raise DetectorError(
            f"{owner}: needs a model with trainable_variables, {type(model).__name__} has none."
        )
    return variables
