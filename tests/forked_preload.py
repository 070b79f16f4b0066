"""What the server of `tests.forked` imports once: TensorFlow, and the rooms of the package."""

import gc
import importlib
import inspect
import pkgutil
import sys

from tfp_flows import _start

_start.import_tensorflow()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.python.framework import composite_tensor, ops  # noqa: E402

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

# What each command would do once more: TensorFlow asks of any class that it meets whether it is a composite
# tensor, for which Python walks through the hundreds of TFP's that are, 10 ms for each class.
MET = [
    list,
    tuple,
    dict,
    set,
    frozenset,
    str,
    bytes,
    bool,
    int,
    float,
    type(None),
    type,
    np.ndarray,
    np.generic,
]
MET += [np.bool_, np.uint8, np.int32, np.int64, np.float32, np.float64, ops.SymbolicTensor, ops.EagerTensor]
MET += [
    tf.Tensor,
    tf.TensorShape,
    tf.TensorSpec,
    tf.DType,
    tf.TensorArray,
    tf.Operation,
    tf.Variable,
    tf.name_scope,
]
for module in [sys.modules[name] for name in sorted(sys.modules)]:
    if module.__name__.partition(".")[0] in ("tfp_flows", "vae", "pixelcnn"):
        classes = [kind for kind in vars(module).values() if inspect.isclass(kind)]
        MET += [kind for kind in classes if issubclass(kind, tf.Module)]
for kind in dict.fromkeys(MET):
    issubclass(kind, composite_tensor.CompositeTensor)
# Nothing of all this is garbage: a command's collections leave it where it is, in memory that all share.
gc.collect()
gc.freeze()
