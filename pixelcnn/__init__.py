"""PixelCNN++ as a density model, conditional and as an auto-encoder, with an exact fast sampler."""

import tfp_flows  # noqa: F401  (first: a command starts TensorFlow quietly)
from pixelcnn.autoencoder import PixelCNNAutoencoder
from pixelcnn.model import PixelCNN
from pixelcnn.tfp_weights import from_tfp, to_tfp

__all__ = ["PixelCNN", "PixelCNNAutoencoder", "from_tfp", "to_tfp"]
