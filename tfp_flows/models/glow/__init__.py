"""Glow (Kingma and Dhariwal 2018): its configuration, the flow, and the family that commands know."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
