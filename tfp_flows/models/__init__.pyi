from . import registry as registry
from .family import Family as Family
from .family import Method as Method
