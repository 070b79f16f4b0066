"""Flows over vectors: their configuration, the flow, and the family that `fit` and `load` know."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
