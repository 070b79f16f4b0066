"""Coupling networks: factories `network(in_channels, out_channels)` to be handed to a coupling.

Each class here is such a factory once its further arguments are bound with `functools.partial`. The
last layer starts at zero, so that a new coupling is the identity (up to its initial scale).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
