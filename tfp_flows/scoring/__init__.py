"""Images of a stream scored into a table, in this process or on Apache Beam."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
