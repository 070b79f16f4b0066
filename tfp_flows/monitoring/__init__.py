"""Scores watched over time: do new images still look like those that a detector was calibrated with?"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
