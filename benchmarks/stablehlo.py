"""What the GPU benchmarks share: folders of programs that JAX runs where there is no TensorFlow.

TensorFlow is imported where programs are written, and only there.
"""

import importlib.util
import json
import pathlib
import time
import types

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]


def _alone(path):
    """A module of the package by its file: the package itself needs what a machine with JAX may lack."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _reader():
    """The reader as exports hold it, in one file."""
    path = ROOT / "tfp_flows" / "serving" / "standalone.py"
    standalone = _alone(path)
    module = types.ModuleType("run_stablehlo")
    module.__file__ = str(path.with_name(standalone.READER))
    exec(compile(standalone.text(), module.__file__, "exec"), vars(module))
    return module


reader = _reader()
roc = _alone(ROOT / "tfp_flows" / "numerics" / "roc.py")


def write(folder, bundle, arrays, **described):
    """Writes a `serving.stablehlo.Bundle`, and beside it arrays that are no weights, as arrays.npz."""
    bundle.save(folder)
    functions = {entry["function"]: {} for entry in bundle.describe()}
    signature = {"methods": functions, "programs": bundle.describe(), **described}
    folder = pathlib.Path(folder)
    (folder / "signature.json").write_text(json.dumps(signature, indent=2) + "\n", encoding="utf-8")
    np.savez(folder / "arrays.npz", **arrays)


def read(folder):
    """(`Model`, dict of arrays) of a folder that `write` wrote."""
    with np.load(pathlib.Path(folder) / "arrays.npz") as archive:
        return reader.Model(folder), dict(archive)


def described(model):
    """{what: which} of the device and the library of a `Model`, for the JSON entries."""
    import jax

    return {"device": str(model.device), "kind": model.device.device_kind, "jax": jax.__version__}


def on_host(results):
    """A dict of arrays on the device as one of NumPy arrays, when they are there."""
    return {name: np.asarray(value) for name, value in results.items()}


def seconds(function, rounds, calls=1):
    """[seconds a call] of so many rounds, each of so many calls, until the last one's results are back."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            results = function()
        on_host(results)
        found.append((time.perf_counter() - start) / calls)
    return found
