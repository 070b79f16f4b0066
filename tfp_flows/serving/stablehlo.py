"""TensorFlow functions as StableHLO programs, in a folder with the arrays that they share.

FOLDER/NAME_SIZE.mlir       one program for each function and batch size: XLA's shapes are static
FOLDER/weights.safetensors  the arrays that the programs take beside their inputs, each stored once
FOLDER/run_stablehlo.py     what reads the folder, with NumPy, JAX and safetensors alone

`Bundle.describe` gives what the reader must know of the programs; it belongs into signature.json.
"""

import contextlib
import os
import pathlib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flows.checks import extras
from tfp_flows.checks.errors import UserError
from tfp_flows.serving import standalone

WEIGHTS_FILE = "weights.safetensors"
READER_FILE = "run_stablehlo.py"
DEVICE = "/device:CPU:0"  # the programs are for any; no kernel of one kind of device may get into them
MLIR_TYPES = {
    **{"float64": "f64", "float32": "f32", "bfloat16": "bf16", "float16": "f16", "bool": "i1"},
    **{f"int{bits}": f"i{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"ui{bits}" for bits in (8, 16, 32, 64)},
}


class LoweringError(UserError):
    """A function cannot be made a StableHLO program; the message is one line that says why."""


class Program(NamedTuple):
    """One lowered function.

    Attributes:
      text: StableHLO, as text.
      inputs: Tuple of `tf.TensorSpec`, the program's first arguments.
      captures: Tuple of variables and tensors, its further arguments.
      outputs: Tuple of (name, `tf.TensorSpec`), its first results.
      updates: Tuple of variables that the function assigns; their new values are its further results.
    """

    text: str
    inputs: tuple[tf.TensorSpec, ...]
    captures: tuple[tf.Variable | tf.Tensor, ...]
    outputs: tuple[tuple[str, tf.TensorSpec], ...]
    updates: tuple[tf.Variable, ...]


def lower(
    function: Callable, *specs: tf.TensorSpec, variables: Sequence[tf.Variable] = (), tf32: bool = False
) -> Program:
    """Lowers a Python function of tensors, by way of TensorFlow's XLA bridge.

    Args:
      function: From tensors to a tensor, or a structure of them; it may assign variables.
      *specs: Fully defined `tf.TensorSpec` of its arguments, each with a name.
      variables: Variables that the function uses and TensorFlow may not tell of: an optimizer's slots.
      tf32: Whether products and convolutions of float32 may be rounded to TF32 on the GPUs that have it
        (StableHLO's precision DEFAULT); otherwise they are float32 everywhere (HIGHEST).

    Returns:
      `Program`.

    Raises:
      LoweringError: If there is an operation that XLA does not have, or a variable that is not known.
    """
    compiled = tf.function(lambda *inputs: function(*inputs), jit_compile=True, autograph=False)
    concrete = compiled.get_concrete_function(*specs)
    try:
        with _products_in(tf32), warnings.catch_warnings():
            # Given a platform instead of a device, or neither, TensorFlow finds the device by an unseeded
            # draw, which determinism forbids.
            warnings.filterwarnings("ignore", "device_name is being deprecated")
            lowered = compiled.experimental_get_compiler_ir(*specs)
            text = _portable(lowered(stage="stablehlo", device_name=DEVICE))
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise LoweringError(_first_line(error)) from error
    captures = _captures(concrete, variables)
    program = Program(
        text=text,
        inputs=specs,
        captures=captures,
        outputs=_named_outputs(concrete.structured_outputs),
        updates=tuple(captures[number - len(specs)] for number in _updated_arguments(text)),
    )
    _check_types(program)
    return program


class Bundle:
    """Programs and the arrays that they share."""

    def __init__(self) -> None:
        """Starts empty; raises `UserError` where safetensors is not installed."""
        with extras.needed("stablehlo", "an export as StableHLO"):
            import safetensors.numpy
        self._serialized = safetensors.numpy.save
        self._weights: dict[str, tf.Variable | tf.Tensor] = {}
        self._names: dict[int, str] = {}
        self._texts: dict[str, str] = {}
        self._described: list[dict] = []

    def add_weight(self, value: tf.Variable | tf.Tensor) -> str:
        """Keeps a variable or tensor once; returns its name, which is unique."""
        if id(value) not in self._names:
            base = value.name.split(":")[0] if isinstance(value, tf.Variable) else "constant"
            name, number = base, 1
            while name in self._weights:
                name, number = f"{base}_{number}", number + 1
            self._names[id(value)] = name
            self._weights[name] = value  # held, so that the id stays its own
        return self._names[id(value)]

    def add(self, function: str, batch_size: int, program: Program) -> None:
        """Adds a `Program` of the function of this name, for so many images."""
        file = f"{function}_{batch_size}.mlir"
        arguments = [{"input": spec.name, **_describe(spec)} for spec in program.inputs]
        arguments += [{"weight": self.add_weight(value)} for value in program.captures]
        results = [{"name": name, **_describe(spec)} for name, spec in program.outputs]
        results += [{"weight": self.add_weight(value)} for value in program.updates]
        self._texts[file] = program.text
        self._described.append(
            {
                "function": function,
                "batch_size": batch_size,
                "file": file,
                "arguments": arguments,
                "outputs": results,
            }
        )

    def describe(self) -> list[dict]:
        """The programs, JSON-ready: for each its file, and what its arguments and results are, in order."""
        return self._described

    def save(self, folder: str | os.PathLike) -> None:
        """Writes programs, arrays and the reader to `folder`, which is made."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in self._texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        arrays = {name: np.asarray(value) for name, value in self._weights.items()}
        (folder / WEIGHTS_FILE).write_bytes(self._serialized(arrays))
        (folder / READER_FILE).write_text(standalone.text(), encoding="utf-8")


@contextlib.contextmanager
def _products_in(tf32: bool) -> Iterator[None]:
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _portable(text: str) -> str:
    """The text without `mhlo.copy`, which TensorFlow puts into loops and no GPU's client takes.

    StableHLO's conversion of an array to the type that it has is the same, and is compiled away.
    """
    return text.replace(" = mhlo.copy ", " = stablehlo.convert ")


def _captures(
    concrete: tf.types.experimental.ConcreteFunction, variables: Sequence[tf.Variable]
) -> tuple[tf.Variable | tf.Tensor, ...]:
    """What the function takes beside its arguments, in order, variables in the place of their handles."""
    known = {id(variable.handle): variable for variable in (*concrete.variables, *variables)}
    captures = tuple(known.get(id(captured), captured) for captured in concrete.captured_inputs)
    if any(captured.dtype == tf.resource for captured in captures):
        raise LoweringError("the function uses a variable that is not known here; name it in `variables`.")
    return captures


def _updated_arguments(text: str) -> list[int]:
    """The numbers of the arguments whose new values are among the results, in the order of the results."""
    (module,) = re.findall(r"^module @.*$", text, re.MULTILINE)
    alias = r"parameter_number = (\d+) : i64\}, output_index = array<i64(?:: (\d+))?>"
    found = sorted((int(result or 0), int(argument)) for argument, result in re.findall(alias, module))
    return [argument for _, argument in found]


def _named_outputs(structured: dict | list | tuple | tf.Tensor) -> tuple[tuple[str, tf.TensorSpec], ...]:
    """(name, spec) of each output in the order of the program's results, which is that of `tf.nest`."""
    if isinstance(structured, dict):
        return tuple((name, structured[name]) for name in sorted(structured))
    return tuple((f"output_{i}", spec) for i, spec in enumerate(tf.nest.flatten(structured)))


def _check_types(program: Program) -> None:
    """Raises `LoweringError` unless the program takes and gives what it is said to.

    XLA leaves out arguments whose values it must know when it compiles.
    """
    (header,) = re.findall(r"func\.func (?:public )?@main\((.*)$", program.text, re.MULTILINE)
    arguments, results = header.split(" -> ", 1)
    specs = [spec for _, spec in program.outputs]
    for what, found, wanted in (
        ("arguments", arguments, [*program.inputs, *program.captures]),
        ("results", results, [*specs, *program.updates]),
    ):
        found, wanted = re.findall(r"tensor<([^<>]*)>", found), [_mlir_type(value) for value in wanted]
        if found != wanted:
            raise LoweringError(f"the program's {what} are {found}, but {wanted} were expected.")


def _mlir_type(value: tf.TensorSpec | tf.Variable | tf.Tensor) -> str:
    return "x".join([*map(str, value.shape.as_list()), MLIR_TYPES[value.dtype.name]])


def _describe(spec: tf.TensorSpec) -> dict:
    return {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()[0]
    return text.removeprefix("Failed getting HLO text: ").strip("'\"")
