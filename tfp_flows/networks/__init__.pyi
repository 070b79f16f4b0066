from .attention import AttentionNetwork as AttentionNetwork
from .conv import ConvLayer as ConvLayer
from .conv import ConvNetwork as ConvNetwork
from .dense import DenseNetwork as DenseNetwork
from .highway import HighwayNetwork as HighwayNetwork
from .transformer import TransformerNetwork as TransformerNetwork
