"""What commands do with tables of numbers: flows over vectors are trained, judged and made detectors of."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
