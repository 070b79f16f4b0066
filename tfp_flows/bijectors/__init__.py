"""Bijectors for normalizing flows over images; `inverse` maps an image to its latent."""

from tfp_flows.bijectors.actnorm import ActNorm
from tfp_flows.bijectors.conv1x1 import InvertibleConv1x1
from tfp_flows.bijectors.coupling import AdditiveCoupling, AffineCoupling
from tfp_flows.bijectors.factor_out import FactorOut
from tfp_flows.bijectors.fused_chain import FusedChain, assembled
from tfp_flows.bijectors.initialization import initialize_actnorms
from tfp_flows.bijectors.squeeze import Squeeze

__all__ = [
    "ActNorm",
    "AdditiveCoupling",
    "AffineCoupling",
    "FactorOut",
    "FusedChain",
    "InvertibleConv1x1",
    "Squeeze",
    "assembled",
    "initialize_actnorms",
]
