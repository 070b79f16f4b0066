"""A run's folder: what made it, its checkpoints, and the model rebuilt from them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
