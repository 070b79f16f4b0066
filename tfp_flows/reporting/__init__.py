"""A run told to the person whose images it was trained on: what was found, and a page at the end."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
