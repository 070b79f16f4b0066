"""PixelCNN++ as a density model, conditional and as an auto-encoder, with an exact fast sampler.

What is named here is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
