from .config import GlowConfig as GlowConfig
from .family import FAMILY as FAMILY
from .flow import dequantizer as dequantizer
from .flow import glow as glow
