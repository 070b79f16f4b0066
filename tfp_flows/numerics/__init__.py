"""Random numbers, precision, quantisation, second derivatives, parts of a batch: no model is known here."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
