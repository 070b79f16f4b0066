"""PixelCNN++ as a density model, conditional and as an auto-encoder, with an exact fast sampler."""

import tfp_flows  # noqa: F401  (first: a command starts TensorFlow quietly)
from pixelcnn.model import PixelCNN

__all__ = ["PixelCNN"]
