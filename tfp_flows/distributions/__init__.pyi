from . import in_parts as in_parts
from . import priors as priors
from .dequantized import BOUNDS as BOUNDS
from .dequantized import Dequantized as Dequantized
from .discretized_logistic import discretized_logistic_log_prob as discretized_logistic_log_prob
from .image_distribution import ImageDistribution as ImageDistribution
