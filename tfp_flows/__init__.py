"""Normalizing flows for images as TensorFlow Probability bijectors."""

import sys

from tfp_flows import _start

# While `python -m tfp_flows.train` imports this package, sys.argv[0] is "-m": a command starts
# quietly, and whoever imports the package as a library keeps TensorFlow's notices.
if sys.argv[:1] == ["-m"]:
    _start.import_tensorflow()

from tfp_flows import bijectors, networks  # noqa: E402
from tfp_flows.distributions.dequantized import Dequantized  # noqa: E402
from tfp_flows.distributions.image_distribution import ImageDistribution  # noqa: E402
from tfp_flows.models.glow.config import GlowConfig  # noqa: E402
from tfp_flows.models.glow.flow import glow  # noqa: E402
from tfp_flows.numerics.quantization import bits_per_dim  # noqa: E402

__all__ = [
    "Dequantized",
    "GlowConfig",
    "ImageDistribution",
    "bijectors",
    "bits_per_dim",
    "glow",
    "networks",
]
