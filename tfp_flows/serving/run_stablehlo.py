"""Runs a folder of StableHLO programs with NumPy, JAX and safetensors alone, on JAX's default device.

    python FOLDER/run_stablehlo.py --images=images.npy --out=scores.npz
    python FOLDER/run_stablehlo.py --function=sample --n=16 --seed=0 --out=samples.npz

From Python:

    from run_stablehlo import Model
    model = Model("FOLDER")
    model("serving_default", images=images)     # uint8 [N, H, W, C], any N: a dict of arrays
    one = model.as_jax("log_density")           # of one image, for jax.grad, jax.hessian, jax.vmap

Reading a folder executes nothing but the programs in it: it is text and arrays, and nothing is unpickled. A
program is looked at before it is compiled: one with operations that may do more than compute, such as
`custom_call`, is refused, unless --trust says that you know who made it. Of a stranger's folder do not run
the reader that lies in it, but one of your own: python run_stablehlo.py --model=FOLDER.

Each program has a fixed batch size, so images are run in batches of those sizes; the last one is filled up
with zeros.
"""

import argparse
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfp_flows.serving.stablehlo_as_jax import as_jax
from tfp_flows.serving.stablehlo_check import (
    COUNT,
    SIGNATURE_FILE,
    WEIGHTS_FILE,
    ModelError,
    array_type,
    check_program,
    check_text,
    described_type,
    one_line,
    read_arrays,
    read_json,
    read_text,
)

if TYPE_CHECKING:
    import jax


class Program:
    """One compiled program: arrays on the device in, arrays on the device out."""

    def __init__(self, text: str, device: "jax.Device") -> None:
        """Compiles StableHLO text for a JAX device."""
        from jax.extend import backend
        from jaxlib import xla_client

        self._executable = backend.get_backend(device.platform).compile_and_load(
            text, xla_client.DeviceList((device,)), xla_client.CompileOptions()
        )

    def __call__(self, arguments: "Sequence[jax.Array]") -> "list[jax.Array]":
        """A list of results; where an argument is updated by the program, its array is used up."""
        results = self._executable.execute_sharded(arguments)
        return [shards[0] for shards in results.disassemble_into_single_device_arrays()]

    def temporary_bytes(self) -> int:
        """The memory that a run takes beside its arguments and results."""
        return self._executable.get_compiled_memory_stats().temp_size_in_bytes


class Model:
    """The functions of a folder of programs, and their weights, once, on the device.

    Attributes:
      device: The JAX device.
      signature: The contents of signature.json.
      weights: dict from name to array on the device; programs that update weights replace them.
    """

    def __init__(
        self, folder: str | pathlib.Path, device: "jax.Device | None" = None, trust: bool = False
    ) -> None:
        """Reads the folder; programs are checked and compiled when they are first used.

        Args:
          folder: As `tfp_flows.export --format=stablehlo` wrote it.
          device: JAX device; None for the default one.
          trust: Whether to run programs with any operations, for those who know who made them.

        Raises:
          ModelError: If the folder is not of this kind, or damaged.
        """
        import jax

        self._folder = pathlib.Path(folder)
        self._trust = trust
        self.device = device or jax.devices()[0]
        self.signature = read_json(self._folder / SIGNATURE_FILE)
        arrays = read_arrays(self._folder / WEIGHTS_FILE)
        try:
            self._described: dict[str, dict[int, dict]] = {}
            for entry in self.signature["programs"]:
                method = self.signature["methods"][entry["function"]]
                check_program(entry, arrays, method)
                self._described.setdefault(entry["function"], {})[entry["batch_size"]] = entry
            self._methods = {name: self.signature["methods"][name] for name in self._described}
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{self._folder / SIGNATURE_FILE} is damaged: {error!r}.") from error
        self._programs: dict[tuple[str, int], Program] = {}
        self.weights = {name: self.put(array) for name, array in arrays.items()}

    @property
    def functions(self) -> list[str]:
        """The names of the functions."""
        return list(self._described)

    def __call__(self, function: str, **inputs: np.ndarray | int) -> dict[str, np.ndarray]:
        """Runs a function on any number of images.

        Args:
          function: One of `functions`.
          **inputs: As in signature.json: arrays `[N, ...]`, or numbers. For `sample`, `n` and `seed`: more
            than the largest batch size are drawn in batches, each with a seed made of `seed` and its number.

        Returns:
          dict from name to NumPy array.

        Raises:
          ModelError: If there is no such function, or an input is of another shape or dtype.
        """
        self._check_function(function)
        batched, scalars, count = self._checked(function, inputs)
        chunks = []
        for number, (start, size) in enumerate(self._batches(function, count)):
            given = {name: _filled(array[start : start + size], size) for name, array in batched.items()}
            given.update(scalars)
            if "seed" in scalars and (not batched or "images" in self._methods[function].get("outputs", ())):
                # Draws, also those that are given something for each: no two batches have the same.
                given["seed"] = _seed_of_batch(scalars["seed"], number)
            found = self.run(function, size, {name: self.put(value) for name, value in given.items()})
            chunks.append({name: np.asarray(value)[: count - start] for name, value in found.items()})
        return {name: np.concatenate([chunk[name] for chunk in chunks])[:count] for name in chunks[0]}

    def run(self, function: str, batch_size: int, inputs: "dict[str, jax.Array]") -> "dict[str, jax.Array]":
        """Runs the one program for this batch size on arrays that are on the device.

        Args:
          function: One of `functions`.
          batch_size: One of the sizes that it was lowered for.
          inputs: dict from name to array on the device, from `put`.

        Returns:
          dict from name to array on the device. Weights that the program updates are replaced.
        """
        program, entry = self.program(function, batch_size)
        arguments = [
            self.weights[a["weight"]] if "weight" in a else inputs[a["input"]] for a in entry["arguments"]
        ]
        found = {}
        try:
            results = program(arguments)
        except RuntimeError as error:
            raise ModelError(f"{self._folder / entry['file']} cannot be run: {one_line(error)}") from error
        for result, described in zip(results, entry["outputs"], strict=True):
            if "weight" in described:
                self.weights[described["weight"]] = result
            else:
                found[described["name"]] = result
        return found

    def as_jax(self, function: str) -> "Callable[..., dict[str, jax.Array]]":
        """A function of one row, as one of JAX's: see `stablehlo_as_jax`.

            one = model.as_jax("log_density")
            jax.grad(lambda v: one(values=v)["log_density"])(v)                 # v float32 [H, W, C]
            jax.vmap(lambda v: one(values=v)["log_density"])(batch)             # [N, H, W, C]

        Args:
          function: One of `functions` that was lowered for batches of one.

        Returns:
          Function of arrays by their names, as in signature.json but for the axis of rows, and of `weights`,
          those of the model by default, of which some or all may be given; compiled by `jax.jit`. It returns
          a dict of arrays without that axis.

        Raises:
          ModelError: If there is no such program, or it updates weights, or may do more than compute.
        """
        import jax

        self._check_function(function)
        entry = self._described[function].get(1)
        if entry is None or any("weight" in result for result in entry["outputs"]):
            raise ModelError(f"{function}: a program of one row that updates nothing is wanted.")
        path = self._folder / entry["file"]
        text = read_text(path)
        check_text(text, path, self._types(entry), self._trust)
        main = as_jax(text)
        wanted = {a["input"]: a for a in entry["arguments"] if "input" in a}

        @jax.jit
        def run(weights: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
            results = main(
                [weights[a["weight"]] if "weight" in a else inputs[a["input"]] for a in entry["arguments"]]
            )
            return {r["name"]: value[0] for r, value in zip(entry["outputs"], results, strict=True)}

        def one(*, weights: Mapping[str, Any] | None = None, **inputs: Any) -> dict[str, Any]:
            if set(inputs) != set(wanted):
                raise ModelError(
                    f"{function} takes {', '.join(wanted)}; got {', '.join(inputs) or 'nothing'}."
                )
            rows = {name: _one_row(name, value, wanted[name]) for name, value in inputs.items()}
            return run({**self.weights, **(weights or {})}, rows)

        return one

    def program(self, function: str, batch_size: int) -> tuple[Program, dict]:
        """(`Program`, its entry in signature.json); compiled at the first call."""
        key = (function, batch_size)
        entry = self._described[function][batch_size]
        if key not in self._programs:
            path = self._folder / entry["file"]
            text = read_text(path)
            try:
                check_text(text, path, self._types(entry), self._trust)
                self._programs[key] = Program(text, self.device)
            except RuntimeError as error:
                raise ModelError(f"{path} cannot be compiled: {one_line(error)}") from error
        return self._programs[key], entry

    def _types(self, entry: dict) -> tuple[list[str], list[str]]:
        """The types that a program takes and gives, as StableHLO writes them."""
        weights = {name: array_type(str(array.dtype), array.shape) for name, array in self.weights.items()}

        def of(described: dict) -> str:
            return weights[described["weight"]] if "weight" in described else described_type(described)

        return [of(a) for a in entry["arguments"]], [of(r) for r in entry["outputs"]]

    def put(self, array: np.ndarray) -> "jax.Array":
        """An array on the device, of its own dtype (JAX alone would make 32 bits of 64)."""
        import jax

        with jax.enable_x64(True):
            return jax.device_put(np.asarray(array), self.device)

    def _check_function(self, function: str) -> None:
        if function in self._described:
            return
        reason = self.signature.get("left_out", {}).get(function)
        if reason:
            raise ModelError(f"{function} was left out of this export: {reason}")
        raise ModelError(f"there is no function {function!r}; there are {', '.join(self.functions)}.")

    def _checked(
        self, function: str, inputs: dict[str, np.ndarray | int]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], int]:
        """(inputs with an image or latent in each row, other inputs, number of rows)."""
        described = self._methods[function].get("inputs")
        if described is None:
            raise ModelError(f"{SIGNATURE_FILE} does not say what {function} takes.")
        if set(inputs) != set(described):
            raise ModelError(
                f"{function} takes {', '.join(described)}; got {', '.join(inputs) or 'nothing'}."
            )
        arrays = {name: _checked(name, inputs[name], wanted) for name, wanted in described.items()}
        counts = [int(arrays.pop(COUNT))] if COUNT in arrays else []
        batched = {name: array for name, array in arrays.items() if described[name]["shape"]}
        counts += [len(array) for array in batched.values()]
        if len(set(counts)) != 1 or counts[0] < 1:
            raise ModelError(f"{function}: one number of rows is wanted, at least 1, got {counts}.")
        return batched, {name: a for name, a in arrays.items() if name not in batched}, counts[0]

    def _batches(self, function: str, count: int) -> Iterator[tuple[int, int]]:
        """(start, size) of each batch: the largest size, and for the rest the smallest that holds it."""
        sizes = sorted(self._described[function])
        start = 0
        while start < count:
            size = next((size for size in sizes if size >= count - start), sizes[-1])
            yield start, size
            start += size


def _checked(name: str, value: np.ndarray | int, wanted: dict) -> np.ndarray:
    """`value` as an array of the dtype and shape that signature.json gives; a number may be Python's."""
    array = np.asarray(value)
    dtype = np.dtype(wanted["dtype"])
    if not wanted["shape"] and isinstance(value, int) and np.can_cast(np.min_scalar_type(value), dtype):
        array = array.astype(dtype)
    fits = len(array.shape) == len(wanted["shape"]) and all(
        size in (None, found) for size, found in zip(wanted["shape"], array.shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        shape = ["N" if size is None else size for size in wanted["shape"]]
        raise ModelError(
            f"{name}: {_kind(dtype, shape)} is wanted, got {_kind(array.dtype, list(array.shape))}."
        )
    return array


def _one_row(name: str, value: Any, wanted: dict) -> "jax.Array":
    """`value`, which may be being differentiated, with an axis of rows, of the dtype and shape `wanted`."""
    import jax.numpy as jnp

    array = jnp.asarray(value)
    dtype, shape = np.dtype(wanted["dtype"]), wanted["shape"]
    if not shape and isinstance(value, int):
        return array.astype(dtype)
    if array.dtype != dtype or list(array.shape) != shape[1:]:
        raise ModelError(
            f"{name}: {_kind(dtype, shape[1:])} is wanted, got {_kind(array.dtype, list(array.shape))}."
        )
    return array[np.newaxis] if shape else array


def _kind(dtype: np.dtype, shape: Sequence[int | str]) -> str:
    return f"{dtype} [{', '.join(map(str, shape))}]" if shape else f"one {dtype}"


def _filled(array: np.ndarray, size: int) -> np.ndarray:
    """The array with rows of zeros up to `size`."""
    missing = size - len(array)
    return np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) if missing else array


def _seed_of_batch(seed: np.ndarray, number: int) -> np.ndarray:
    """The seed of a batch of draws: `seed` itself for the first, others made of it for the rest."""
    if number == 0:
        return seed
    state = np.random.SeedSequence([int(seed) % 2**64, number]).generate_state(1, np.uint64)[0]
    return (state >> np.uint64(1)).astype(seed.dtype)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a function on the arrays of files, and writes what it gives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=pathlib.Path(__file__).parent, help="folder; that of this file")
    parser.add_argument("--function", default="serving_default", help="name of the function")
    parser.add_argument("--out", required=True, help="archive to write, .npz")
    parser.add_argument("--trust", action="store_true", help="run programs with any operations")
    options, rest = parser.parse_known_args(arguments)
    model = Model(options.model, trust=options.trust)
    model._check_function(options.function)
    inputs = argparse.ArgumentParser(prog=f"{parser.prog} --function={options.function} --out=FILE.npz")
    for name, wanted in model.signature["methods"][options.function]["inputs"].items():
        kind = "number" if not wanted["shape"] else "file (.npy)"
        inputs.add_argument(f"--{name}", required=True, type=int if not wanted["shape"] else str, help=kind)
    given = vars(inputs.parse_args(rest))
    values = {name: _load(value) if isinstance(value, str) else value for name, value in given.items()}
    found = model(options.function, **values)
    np.savez(options.out, **found)  # type: ignore[arg-type]  # its stub takes them for allow_pickle
    for name, array in found.items():
        print(f"{name}: {_kind(array.dtype, list(array.shape))}")


def _load(path: str) -> np.ndarray:
    """The array of a .npy file."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"{path} cannot be read: {error}.") from error


if __name__ == "__main__":
    try:
        main()
    except ModelError as error:
        sys.exit(f"error: {error}")
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error}; pip install jax safetensors")
