"""Detectors of out-of-distribution images, on top of any density model.

    detector = detectors.Typicality(model).fit(validation_images).calibrate(calibration_images)
    detector.predict(images, alpha=0.05)

One score a file, one interface: see `Detector`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
