__version__: str

from . import bijectors as bijectors
from . import data as data
from . import detectors as detectors
from . import distributions as distributions
from . import evaluation as evaluation
from . import models as models
from . import monitoring as monitoring
from . import networks as networks
from . import numerics as numerics
from . import pages as pages
from . import reporting as reporting
from . import runs as runs
from . import scoring as scoring
from . import serving as serving
from . import testing as testing
from . import training as training
from .distributions import ClassMixture as ClassMixture
from .distributions import Dequantized as Dequantized
from .distributions import ImageDistribution as ImageDistribution
from .models.glow import GlowConfig as GlowConfig
from .models.glow import dequantizer as dequantizer
from .models.glow import glow as glow
from .models.vectors import vector_flow as vector_flow
from .numerics.quantization import bits_per_dim as bits_per_dim
from .runs import load as load
from .training.fit import fit as fit
