"""A TensorFlow function as a StableHLO program that JAX's PJRT client runs, without TensorFlow.

`save` writes a folder (program.mlir, arguments.npz, result.npz) on a machine with TensorFlow; `Program`
compiles and runs it on any machine with JAX, on its GPU where it has one. Only arrays and text are stored.
"""

import pathlib
import time

import numpy as np


def save(folder, function, *inputs):
    """Lowers `tf.function(function, jit_compile=True)` at `inputs` and writes it with its result.

    Args:
      folder: Where to write; made if it is not there.
      function: Python function of tensors.
      *inputs: Tensors.
    """
    import tensorflow as tf

    compiled = tf.function(lambda *arguments: function(*arguments), jit_compile=True)
    expected = compiled(*inputs)
    concrete = compiled.get_concrete_function(*inputs)
    # Variables are the program's arguments too, in the order in which the function captured them.
    variables = {id(variable.handle): variable for variable in concrete.graph.variables}
    captured = [variables.get(id(c), c) for c in concrete.captured_inputs]
    values = [np.asarray(value) for value in (*inputs, *captured)]
    text = compiled.experimental_get_compiler_ir(*inputs)(stage="stablehlo")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "program.mlir").write_text(text, encoding="utf-8")
    np.savez(folder / "arguments.npz", **{f"{i:04d}": value for i, value in enumerate(values)})
    np.savez(folder / "result.npz", *(np.asarray(value) for value in tf.nest.flatten(expected)))


class Program:
    """A saved program, compiled for JAX's default device."""

    def __init__(self, folder):
        """Compiles it; `compile_seconds` says how long that took."""
        import jax
        from jax.extend import backend
        from jaxlib import xla_client

        folder = pathlib.Path(folder)
        client = backend.get_backend()
        self.device = jax.devices()[0]
        start = time.perf_counter()
        self._executable = client.compile_and_load(
            (folder / "program.mlir").read_text(encoding="utf-8"),
            xla_client.DeviceList((self.device,)),
            xla_client.CompileOptions(),
        )
        self.compile_seconds = time.perf_counter() - start
        with np.load(folder / "arguments.npz") as archive:
            self.arguments = [jax.device_put(archive[name], self.device) for name in sorted(archive)]
        with np.load(folder / "result.npz") as archive:
            self.expected = [archive[name] for name in archive]

    def __call__(self):
        """Runs it on the saved arguments; a list of `np.ndarray`."""
        results = self._executable.execute_sharded(self.arguments)
        return [np.asarray(shards[0]) for shards in results.disassemble_into_single_device_arrays()]

    def largest_error(self):
        """The largest difference from TensorFlow's own result, relative to the largest entry."""
        return max(
            float(abs(ours - theirs).max() / max(abs(theirs).max(), 1e-30))
            for ours, theirs in zip(self(), self.expected, strict=True)
        )

    def seconds(self, rounds):
        """[seconds] of so many runs, each until the result has come back."""
        found = []
        for _ in range(rounds):
            start = time.perf_counter()
            self()
            found.append(time.perf_counter() - start)
        return found
