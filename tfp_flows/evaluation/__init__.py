"""Likelihoods of whole data sets, how well they tell one set from another, and pictures of both."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
