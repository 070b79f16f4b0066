"""The detectors by name."""

from tfp_flows.detectors.critics import Critics
from tfp_flows.detectors.default import Default
from tfp_flows.detectors.density_of_states import DensityOfStates
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.foreign_patches import ForeignPatches
from tfp_flows.detectors.gradients import GradientNorms, ScoreTest
from tfp_flows.detectors.input_complexity import InputComplexity
from tfp_flows.detectors.likelihood import Likelihood, OutlierExposure
from tfp_flows.detectors.likelihood_path import LikelihoodPath
from tfp_flows.detectors.likelihood_ratio import LikelihoodRatio
from tfp_flows.detectors.likelihood_regret import LikelihoodRegret
from tfp_flows.detectors.local_intrinsic_dimension import LocalIntrinsicDimension
from tfp_flows.detectors.second_order import SecondOrder
from tfp_flows.detectors.sitn import SITN
from tfp_flows.detectors.typicality import Typicality
from tfp_flows.detectors.waic import WAIC

DETECTORS: dict[str, type[Detector]] = {
    kind.name: kind
    for kind in (
        Default,
        Likelihood,
        Typicality,
        DensityOfStates,
        InputComplexity,
        LikelihoodRatio,
        WAIC,
        Critics,
        OutlierExposure,
        LikelihoodRegret,
        GradientNorms,
        ScoreTest,
        LocalIntrinsicDimension,
        SecondOrder,
        SITN,
        LikelihoodPath,
        ForeignPatches,
    )
}
