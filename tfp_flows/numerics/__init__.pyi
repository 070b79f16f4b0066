from . import hessian as hessian
from . import noise as noise
from . import precision as precision
from . import quantization as quantization
