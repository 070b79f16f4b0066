"""What the server of `tests.forked` imports once: TensorFlow, and the rooms of the package."""

import importlib
import pkgutil

from tfp_flows import _start

_start.import_tensorflow()

import tfp_flows  # noqa: E402

COMMANDS = ("train", "evaluate", "detect", "export", "score", "monitor", "__main__")
for module in pkgutil.walk_packages(tfp_flows.__path__, "tfp_flows."):
    if module.name.split(".")[1] not in COMMANDS:
        try:
            importlib.import_module(module.name)
        except ImportError:  # of an extra that is not installed
            pass
for name in ("vae.model", "vae.family", "pixelcnn.model", "pixelcnn.family"):
    importlib.import_module(name)
