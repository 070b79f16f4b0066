"""Normalizing flows for images as TensorFlow Probability bijectors.

What is named here is imported when it is first used.
"""

import lazy_loader

from tfp_flows import _start

__version__ = "0.1.0"

if _start.is_own_analysis():  # whoever imports the package as a library keeps TensorFlow's notices
    _start.import_tensorflow()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
