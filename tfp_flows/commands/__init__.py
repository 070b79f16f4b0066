"""What the commands share: flags, errors in one line. The only room that knows flags."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
