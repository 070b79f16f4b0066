"""Normalizing flows for images as TensorFlow Probability bijectors."""

from tfp_flows import bijectors, networks
from tfp_flows.glow import GlowConfig, glow
from tfp_flows.quantization import Dequantized, bits_per_dim

__all__ = ["Dequantized", "GlowConfig", "bijectors", "bits_per_dim", "glow", "networks"]
