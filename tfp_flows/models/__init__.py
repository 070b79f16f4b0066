"""Kinds of density models: Glow here, and those that stand beside the package in a checkout."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
