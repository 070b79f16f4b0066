"""Foreign patches: a network that has learnt, from own images alone, to see what was pasted into them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_flows.checks.images import check_image_shape
from tfp_flows.detectors import patch_network
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.distributions.protocols import DensityModel

WEIGHTS = "network"  # name of the fitted array
MOST_IMAGES = 4_096


class ForeignPatches(Detector):
    """score(x) = sum_hw w_hw map(x)_hw, w = softmax(map(x)), less the same of an ordinary image.

        map(x)_hw = log P_hw - log(1 - P_hw),    P_hw: the pixel is of a patch, a small U-Net says of x

    The score is the mean of the map over the few pixels that it marks most.

    `fit` trains the network on its images, into which patches of each other, of other places, of the image
    itself with other contrast, colours or sharpness, of noise and of one colour are pasted, with sharp, soft
    and seamless edges: see `pasting`. An ordinary image has the median of the images given to `fit`. No
    density model is needed. The map says where something does not belong to its picture; what makes whole
    images foreign the score sees only where that looks pasted, too.

    What it found: docs/heat_maps.md.

    #### References

    [1]: Jeremy Tan et al. Detecting outliers with foreign patch interpolation. 2020.
         https://arxiv.org/abs/2011.04197
    [2]: Hannah M. Schlueter et al. Natural synthetic anomalies for self-supervised anomaly detection and
         localization. ECCV 2022. https://arxiv.org/abs/2109.15222
    [3]: Chun-Liang Li et al. CutPaste: self-supervised learning for anomaly detection and localization.
         CVPR 2021. https://arxiv.org/abs/2104.04015
    """

    name = "foreign_patches"
    takes_vectors = False
    log_prob_first = False
    exportable = True
    prepares = True
    needs_model = False
    fit_split = "train"
    most_fit_images = MOST_IMAGES
    unseen_by_formulas = (WEIGHTS,)

    def __init__(
        self,
        image_shape: Sequence[int],
        num_steps: int = 1_000,
        width: int = 16,
        batch_images: int = 32,
        seed: int = 0,
        batch_size: int = 256,
    ):
        """Makes nothing yet: the network is trained by `fit`.

        Args:
          image_shape: (H, W, C).
          num_steps: Steps of training; 1,000 take two minutes on two cores at 32 x 32 pixels, and four times
            as long from 64 x 64 on.
          width: Channels of the first layer.
          batch_images: Images in a step.
          seed: Of weights, images and patches.
          batch_size: Images scored at once.

        Raises:
          DetectorError: If a number makes no sense.
        """
        settings: dict[str, Any] = dict(
            image_shape=[int(n) for n in image_shape],
            num_steps=num_steps,
            width=width,
            batch_images=batch_images,
            seed=seed,
        )
        super().__init__([], settings, batch_size)
        self.image_shape = check_image_shape(image_shape, self.name)
        self._network: tf_keras.Model | None = None

    @classmethod
    def of_models(cls, density_models: Sequence[DensityModel], settings: Mapping) -> Detector:
        """The detector of these settings; there are no density models."""
        return cls(**settings)

    def _prepare(self, images: np.ndarray) -> None:
        names = ("num_steps", "width", "batch_images", "seed")
        weights = patch_network.train(images, *(self.settings[name] for name in names))
        self.fitted[WEIGHTS] = np.concatenate([np.ravel(array) for array in weights])
        self._network = None

    def _before_tracing(self) -> None:
        self._restored()  # variables that a trace makes would have it traced a second time

    def _log_odds(self, images: tf.Tensor) -> tf.Tensor:
        with tf.init_scope():
            network = self._restored()
        return network(patch_network.scaled(images))

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        log_odds = self._log_odds(images)
        by_pixel = tf.reshape(log_odds, [-1, log_odds.shape[1] * log_odds.shape[2]])
        return tf.reduce_sum(tf.nn.softmax(by_pixel) * by_pixel, axis=1, keepdims=True)

    def _fit_statistics(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        return {"ordinary": np.median(statistics[:, 0])}

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return statistics[:, 0] - fitted["ordinary"]

    def _needed(self) -> tuple[str, ...]:
        return ("ordinary",)

    def _check_prepared(self) -> None:
        if WEIGHTS not in self.fitted:
            raise DetectorError(f"{self.name}: call fit first, with in-distribution images.")

    def _no_map(self) -> str | None:
        return None

    def _graph_shares(self, images: tf.Tensor) -> tf.Tensor:
        return self._log_odds(images)[..., tf.newaxis]

    def _map_formula(self, shares: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return shares[..., 0]

    def _restored(self) -> tf_keras.Model:
        """The network with its trained weights, made once."""
        if self._network is None:
            network = patch_network.make_network(
                self.statistics.known_image_shape(), self.settings["width"], seed=0
            )
            shapes = [array.shape for array in network.get_weights()]
            ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
            weights = self.fitted[WEIGHTS]
            if weights.shape != (ends[-1],):
                raise DetectorError(
                    f"{self.name}: the network has {ends[-1]:,} weights, not {list(weights.shape)}; fit "
                    f"it again."
                )
            parts = np.split(weights, ends[:-1])
            network.set_weights([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])
            self._network = network
        return self._network
