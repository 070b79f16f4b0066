"""The likelihood, corrected by how well a general compressor does."""

import types
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows.checks import extras
from tfp_flows.detectors import models
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.names import CHOICES, check_choice
from tfp_flows.distributions.protocols import DensityModel

# Lossless codecs of the package imagecodecs: name -> function and arguments.
CODECS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpegls": ("jpegls_encode", {}),
    "jpeg2000": ("jpeg2k_encode", {"level": 0, "reversible": True}),
    "jpegxl": ("jpegxl_encode", {"lossless": True}),
}
COMPRESSORS = CHOICES["input_complexity", "compressor"]
LN2 = float(np.log(2.0))


class InputComplexity(Detector):
    """score(x) = -log2 p(x) - L(x), in bits: L is the length of x, losslessly compressed.

    Simple images are likely, whatever they show; the length in bits of a general compressor, which is minus
    the logarithm of a universal density, takes that out. S is a log-ratio of two densities. Both terms are
    in bits per image (nats or bits per dimension in one of them would give another order of the images).

    `compressor`: "png" (TensorFlow's, so that the score can be exported), "jpegls", "jpeg2000", "jpegxl"
    (the successor of FLIF), or "best": for each image the shortest of all four, as the paper has it for
    its own three. Headers count; they are the same for all
    images of a shape, but for "best".

    `score_map` is that of the first term alone, in bits: it sums to -log2 p(x). A compressor says nothing of
    pixels.

    Published AUROC: FashionMNIST/MNIST 0.998, CIFAR-10/SVHN 0.950 (Glow and FLIF), 0.929 (PixelCNN++);
    a reprint (DLSR, 2024) credits the same authors with 0.883 and 0.737.

    #### References

    [1]: Joan Serra et al. Input complexity and out-of-distribution detection with likelihood-based
         generative models. ICLR 2020. https://arxiv.org/abs/1909.11480
    """

    name = "input_complexity"
    takes_vectors = False
    finite_statistics = False  # nothing is fitted to them

    def __init__(self, model: DensityModel, compressor: str = "png", batch_size: int = 256):
        """Takes the density model and the name of the compressor.

        Raises:
          DetectorError: If there is no such compressor.
          UserError: If the package that has it is not installed.
        """
        check_choice(self.name, "compressor", compressor)
        super().__init__([model], {"compressor": compressor}, batch_size)
        if self._codecs:
            _imagecodecs()

    @property
    def exportable(self) -> bool:
        """Whether it runs in a graph: with "png" alone."""
        return not self._codecs

    @property
    def _codecs(self) -> list[str]:
        compressor = self.settings["compressor"]
        return {"png": [], "best": list(CODECS)}.get(compressor, [compressor])

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        log_prob = models.log_prob(self.models[0], images)
        if self.settings["compressor"] not in ("png", "best"):
            return log_prob[:, tf.newaxis]
        return tf.stack([log_prob, tf.cast(png_bits(images), log_prob.dtype)], axis=-1)

    def _host_statistics(self, images: np.ndarray) -> np.ndarray | None:
        if not self._codecs:
            return None
        return np.array([[encoded_bits(image, codec) for codec in self._codecs] for image in images])

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return -statistics[:, 0] / LN2 - tf.reduce_min(statistics[:, 1:], axis=1)

    def _no_map(self) -> str | None:
        return models.why_no_shares(self.models)

    def _map_formula(self, shares: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        return -tf.reduce_sum(shares, axis=-1) / LN2


def png_bits(images: tf.Tensor) -> tf.Tensor:
    """Bits of each image as a PNG file: uint8 `[B, H, W, C]`, C in 1..4 -> int32 `[B]`."""
    files = tf.map_fn(
        lambda image: tf.io.encode_png(image, compression=9), images, fn_output_signature=tf.string
    )
    return 8 * tf.strings.length(files)


def encoded_bits(image: np.ndarray, codec: str) -> int:
    """Bits of an image uint8 `[H, W, C]` as encoded losslessly by one of `CODECS`.

    Raises:
      UserError: If the package of the codecs is not installed.
    """
    name, arguments = CODECS[codec]
    encode = getattr(_imagecodecs(), name)
    return 8 * len(encode(np.squeeze(image, -1) if image.shape[-1] == 1 else image, **arguments))


def _imagecodecs() -> types.ModuleType:
    with extras.needed("codecs", "a compressor other than PNG"):
        import imagecodecs
    return imagecodecs
