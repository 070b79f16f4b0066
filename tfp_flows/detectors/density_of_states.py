"""Density of states: are the model's statistics of this image those of its data?"""

import numpy as np
import tensorflow as tf

from tfp_flows.detectors import surprise, terms
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.names import check_choice
from tfp_flows.distributions.protocols import DensityModel

NU = 0.1
LOG_SQRT_2_PI = 0.5 * float(np.log(2.0 * np.pi))


class DensityOfStates(surprise.MapOfSurprise, Detector):
    """DoSE: score(x) = -sum_s log q_s(T_s(x)), q_s the density of statistic T_s over in-distribution images.

    The statistics: log p(x), log p(z) and log|det dz/dy| for a flow; log p(x), E_q[log p(x | z)] and
    KL(q || p(z)) for a VAE; log p(x) for any other model. `density="kde"` estimates each q_s by Gaussian
    kernels of Scott's bandwidth, n^(-1/5) standard deviations; `density="svm"` takes the negative decision
    function of a one-class support vector machine (RBF kernel, nu = 0.1) on the standardised
    statistics. Both are fitted by SciPy's and scikit-learn's rules and kept as arrays, and scored in
    TensorFlow.

    `score_map` is the same idea for a pixel's shares in log p (of a Glow: by level): see `surprise`.

    Published AUROC, Glow: FashionMNIST/MNIST 1.00, CIFAR-10/SVHN 0.97 (authors), 0.955 (a re-run); 0.752
    (another, its model not named).

    #### References

    [1]: Warren Morningstar et al. Density of states estimation for out of distribution detection.
         AISTATS 2021. https://arxiv.org/abs/2006.09273
    """

    name = "density_of_states"
    settings_of_statistics = ()  # the density of the states is fitted after them
    log_prob_first = False
    exportable = True

    def __init__(self, model: DensityModel, density: str = "kde", batch_size: int = 256):
        """Takes the density model and how the statistics' density is estimated.

        Raises:
          DetectorError: If there is no such way.
        """
        check_choice(self.name, "density", density)
        super().__init__([model], {"density": density}, batch_size)

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        return terms.terms_of(self.models[0], images)

    def _fit_statistics(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        if len(statistics) < 2:
            raise DetectorError(f"{self.name}: fit needs at least two images, got {len(statistics)}.")
        scale = statistics.std(axis=0, ddof=1)
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            raise DetectorError(
                f"{self.name}: a statistic of the images given to fit is constant or infinite."
            )
        if self.settings["density"] == "kde":
            return {"states": statistics, "bandwidth": scale * len(statistics) ** (-1 / 5)}
        loc = statistics.mean(axis=0)
        return {"loc": loc, "scale": scale, **_fit_svm((statistics - loc) / scale)}

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        if self.settings["density"] == "kde":
            return -_log_kernel_density(statistics, fitted["states"], fitted["bandwidth"])
        standardised = (statistics - fitted["loc"]) / fitted["scale"]
        squares = tf.reduce_sum((standardised[:, tf.newaxis] - fitted["support"]) ** 2, axis=-1)
        kernel = tf.exp(-fitted["gamma"] * squares)
        return -(tf.linalg.matvec(kernel, fitted["weights"]) + fitted["intercept"])

    def _needed(self) -> tuple[str, ...]:
        return ("states",) if self.settings["density"] == "kde" else ("support",)


def _fit_svm(standardised: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of a one-class support vector machine of standardised statistics `[N, S]`."""
    try:
        import sklearn.svm  # here, as this density alone needs it
    except ImportError as error:
        raise DetectorError(
            f"density_of_states: `density` svm needs scikit-learn ({error}): pip install scikit-learn."
        ) from error
    svm = sklearn.svm.OneClassSVM(nu=NU, gamma="scale").fit(standardised)
    return {
        "support": svm.support_vectors_,
        "weights": svm.dual_coef_[0],
        "intercept": np.float64(svm.intercept_[0]),
        "gamma": np.float64(svm._gamma),
    }


def _log_kernel_density(statistics: tf.Tensor, states: tf.Tensor, bandwidth: tf.Tensor) -> tf.Tensor:
    """sum_s log (1/n) sum_i N(T_s; t_is, h_s^2): `[B]`."""
    distance = (statistics[:, tf.newaxis] - states) / bandwidth  # [B, n, S]
    log_kernels = -0.5 * distance**2 - tf.math.log(bandwidth) - LOG_SQRT_2_PI
    count = tf.cast(tf.shape(states)[0], statistics.dtype)
    return tf.reduce_sum(tf.reduce_logsumexp(log_kernels, axis=1) - tf.math.log(count), axis=-1)
