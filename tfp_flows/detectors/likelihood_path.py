"""The likelihood path: do encoder and decoder say of this image what they say of their own?"""

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.detectors import copula, models
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.names import check_choice
from tfp_flows.distributions.protocols import LatentVariableModel


class LikelihoodPath(Detector):
    """LPath: how unusual the minimal sufficient statistics of a VAE are together; see `copula.score`.

        u = ||x - mu_x||,    v = ||mu_z||,    w = ||sigma_z||,    s = ||sigma_x||

    mu_z and sigma_z are the mean and the standard deviation of q(z | x), mu_x and sigma_x those of
    p(x | z = mu_z), in grey levels. What log p(x) makes one number of, where a bad reconstruction and a far
    latent can cancel, stays apart. It costs one pass through the encoder and one through the decoder.

    `density="copod"` takes the tails of the empirical copula of in-distribution images (those given to
    `fit`), `density="mahalanobis"` the squared distance (T - mean)^T Cov^-1 (T - mean). The paper has both,
    and Gaussian decoders; here any with a mean and a standard deviation does. (Its "LPath-1M": of one VAE.)

    `score_map` is (x - mu_x)^2 of each pixel, summed over channels; it sums to u^2.

    Published AUROC, COPOD: FashionMNIST/MNIST 1.00, CIFAR-10/SVHN 0.99, CIFAR-10/CIFAR-100 0.62;
    Mahalanobis: 0.97, 0.99, 0.58 (authors). Ours, a VAE on FashionMNIST after 4,000 steps, 250 images a set,
    COPOD and Mahalanobis: MNIST 0.96 and 0.98, half contrast 0.55 and 0.79, constants 0.86 and 0.91, noise
    1.00 and 1.00. COPOD adds up tails of columns, and misses what is unusual only together.

    #### References

    [1]: Sicong Huang, Jiawei He and Kry Yik Chau Lui. Rethinking test-time likelihood: the likelihood path
         principle and its application to OOD detection. 2024. https://arxiv.org/abs/2401.04933
    """

    name = "likelihood_path"
    settings_of_statistics = ()  # the density is fitted after them
    log_prob_first = False
    exportable = True

    def __init__(self, model: LatentVariableModel, density: str = "copod", batch_size: int = 256):
        """Takes a VAE, `encode(images)`, `decode(z)` and `prior`, and how statistics are judged together.

        Raises:
          DetectorError: If the model is no VAE, or there is no such way.
        """
        models.need_latent_variables(model, self.name)
        check_choice(self.name, "density", density)
        super().__init__([model], {"density": density}, batch_size)

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        model = models.need_latent_variables(self.models[0], self.name)
        x = models.as_input(model, images)
        posterior = model.encode(x)
        mu_z, sigma_z = self._moments(posterior, "encode")
        mu_x, sigma_x = self._moments(model.decode(mu_z), "decode")
        path = [tf.cast(value, tf.float64) for value in (x - mu_x, mu_z, sigma_z, sigma_x)]
        return tf.stack([_norm(value) for value in path], axis=-1)

    def _moments(self, distribution: tfd.Distribution, method: str) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and standard deviation of what the model's `method` gave."""
        try:
            return distribution.mean(), distribution.stddev()
        except NotImplementedError as error:
            raise DetectorError(
                f"{self.name}: needs the mean and the standard deviation of what `{method}` gives; "
                f"{type(distribution).__name__} has none ({str(error).splitlines()[0]})."
            ) from error

    def _fit_statistics(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        if self.settings["density"] == "copod":
            return copula.fitted(statistics)
        size = statistics.shape[1]
        if len(statistics) <= size:
            raise DetectorError(f"{self.name}: fit needs more than {size} images, got {len(statistics)}.")
        scale = statistics.std(axis=0, ddof=1)
        correlation = np.cov(statistics / np.where(scale > 0, scale, 1.0), rowvar=False)
        if np.linalg.matrix_rank(correlation) < size:
            raise DetectorError(
                f"{self.name}: a statistic of the images given to fit is constant, or follows from others."
            )
        precision = np.linalg.inv(correlation) / np.outer(scale, scale)
        return {"mean": statistics.mean(axis=0), "precision": precision}

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        if self.settings["density"] == "copod":
            return copula.score(statistics, fitted)
        centred = statistics - fitted["mean"]
        return tf.reduce_sum(centred * tf.matmul(centred, fitted["precision"]), axis=-1)

    def _no_map(self) -> str | None:
        return None

    def _graph_shares(self, images: tf.Tensor) -> tf.Tensor:
        model = models.need_latent_variables(self.models[0], self.name)
        x = models.as_input(model, images)
        mu_x = model.decode(model.encode(x).mean()).mean()
        return tf.reduce_sum(tf.cast(x - mu_x, tf.float64) ** 2, axis=-1, keepdims=True)

    def _map_formula(self, shares: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return shares[..., 0]

    def _needed(self) -> tuple[str, ...]:
        return (copula.ASCENDING,) if self.settings["density"] == "copod" else ("mean", "precision")


def _norm(value: tf.Tensor) -> tf.Tensor:
    """The Euclidean norm of each element of a batch `[B, ...]`: `[B]`."""
    return tf.sqrt(tf.reduce_sum(value**2, axis=list(range(1, value.shape.rank))))
