"""Pages and pictures: HTML with its figures and tables, and all that is drawn of sets and images."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
