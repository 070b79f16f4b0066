"""Detectors of out-of-distribution images, on top of any density model.

    detector = detectors.Typicality(model).fit(validation_images).calibrate(calibration_images)
    detector.predict(images, alpha=0.05)

One score a file, one interface: see `Detector`.
"""

from tfp_flows.detectors.critics import Critics
from tfp_flows.detectors.density_of_states import DensityOfStates
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.gradients import GradientNorms, ScoreTest
from tfp_flows.detectors.input_complexity import InputComplexity
from tfp_flows.detectors.likelihood import Likelihood, OutlierExposure
from tfp_flows.detectors.likelihood_ratio import LikelihoodRatio
from tfp_flows.detectors.likelihood_regret import LikelihoodRegret
from tfp_flows.detectors.loading import load
from tfp_flows.detectors.local_intrinsic_dimension import LocalIntrinsicDimension
from tfp_flows.detectors.registry import DETECTORS
from tfp_flows.detectors.second_order import SecondOrder
from tfp_flows.detectors.typicality import Typicality
from tfp_flows.detectors.waic import WAIC

__all__ = [
    "DETECTORS",
    "WAIC",
    "Critics",
    "DensityOfStates",
    "Detector",
    "DetectorError",
    "GradientNorms",
    "InputComplexity",
    "Likelihood",
    "LikelihoodRatio",
    "LikelihoodRegret",
    "LocalIntrinsicDimension",
    "OutlierExposure",
    "ScoreTest",
    "SecondOrder",
    "Typicality",
    "load",
]
