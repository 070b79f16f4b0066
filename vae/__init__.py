"""A variational auto-encoder as a density model over images, with the importance-weighted bound.

What is named here is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
