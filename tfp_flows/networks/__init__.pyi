from .conv import ConvLayer as ConvLayer
from .conv import ConvNetwork as ConvNetwork
from .dense import DenseNetwork as DenseNetwork
from .highway import HighwayNetwork as HighwayNetwork
