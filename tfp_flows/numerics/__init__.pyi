from . import hessian as hessian
from . import noise as noise
from . import parts as parts
from . import positions as positions
from . import precision as precision
from . import quantization as quantization
from .seed import Seed as Seed
from .seed import SeedLike as SeedLike
