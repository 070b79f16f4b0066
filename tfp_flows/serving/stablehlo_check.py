"""Whether a folder of StableHLO programs is sound, and whether its programs can only compute.

An export's reader holds this module and `run_stablehlo` in one file, which needs NumPy, JAX and safetensors.
"""

import itertools
import json
import math
import pathlib
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jax.interpreters import mlir

SIGNATURE_FILE = "signature.json"
WEIGHTS_FILE = "weights.safetensors"
REASON_CHARACTERS = 400  # of a compiler's message, on one line: what is wrong is seldom in its first
FORMAT = 1  # of signature.json
MOST_VALUES = 2**36  # of an array within a program: of one that no machine holds XLA may end the process
MOST_BYTES = {".json": 2**26, ".mlir": 2**30}  # of a file
# What only computes. Others talk to other devices or the host, or run code that is not in the program.
OPERATIONS = frozenset(
    """
    builtin.module func.call func.func func.return
    """.split()
) | frozenset(
    f"stablehlo.{name}"
    for name in """
    abs add and atan2 batch_norm_grad batch_norm_inference batch_norm_training bitcast_convert broadcast
    broadcast_in_dim case cbrt ceil cholesky clamp compare complex concatenate constant convert
    convolution cosine count_leading_zeros divide dot dot_general dynamic_broadcast_in_dim dynamic_conv
    dynamic_gather dynamic_iota dynamic_pad dynamic_reshape dynamic_slice dynamic_update_slice einsum
    exponential exponential_minus_one fft floor gather get_dimension_size get_tuple_element if imag iota
    is_finite log log_plus_one logistic map maximum minimum multiply negate not optimization_barrier or
    pad popcnt power real real_dynamic_slice reduce reduce_precision reduce_window remainder reshape
    return reverse rng rng_bit_generator round_nearest_afz round_nearest_even rsqrt scatter select
    select_and_scatter set_dimension_size shift_left shift_right_arithmetic shift_right_logical sign
    sine slice sort sqrt subtract tan tanh torch_index_select transpose triangular_solve tuple
    unary_einsum uniform_dequantize uniform_quantize while xor
    """.split()
)
# Element types of StableHLO, by NumPy's names.
TYPES = {
    **{"float64": "f64", "float32": "f32", "bfloat16": "bf16", "float16": "f16", "bool": "i1"},
    **{f"int{bits}": f"i{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"ui{bits}" for bits in (8, 16, 32, 64)},
}
COUNT = "n"  # the input that says how many images are wanted, where none are given


class ModelError(ValueError):
    """A folder cannot be read, or an input does not fit; the message is one line."""


def read_json(path: pathlib.Path) -> dict:
    """The contents of a signature.json; raises `ModelError`."""
    try:
        values = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, ModelError) else _unreadable(path, error) from error
    if not isinstance(values, dict) or "programs" not in values:
        raise ModelError(f"{path} is not of an export with --format=stablehlo.")
    if values.get("format", FORMAT) != FORMAT:
        raise ModelError(f"{path} has format {values['format']!r}, this reader reads format {FORMAT}.")
    return values


def read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """dict from name to array of a .safetensors file; raises `ModelError`."""
    import safetensors
    from safetensors.numpy import load_file

    try:
        _check_file(path)
        return load_file(path)
    except (OSError, safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise error if isinstance(error, ModelError) else _unreadable(path, error) from error


def read_text(path: pathlib.Path) -> str:
    """The text of a file; raises `ModelError`."""
    try:
        _check_file(path)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _check_file(path: pathlib.Path) -> None:
    """Refuses pipes and devices, whose reader might wait for ever, and files that are too large."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{path} cannot be read: it is no file.")
    most = MOST_BYTES.get(path.suffix)
    if most is not None and status.st_size > most:
        raise ModelError(f"{path} cannot be read: it has {status.st_size:,} bytes, more than {most:,}.")


def _unreadable(path: pathlib.Path, error: Exception) -> ModelError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    return ModelError(f"{path} cannot be read: {reason or type(error).__name__}.")


def one_line(error: Exception) -> str:
    """An error's message on one line, cut where it is long."""
    return " ".join(str(error).split())[:REASON_CHARACTERS]


def check_program(entry: dict, weights: dict[str, np.ndarray], method: dict) -> None:
    """Raises `ModelError` where a program is not a plain file beside, or is not what is said of it."""
    file = entry["file"]
    plain = isinstance(file, str) and file.endswith(".mlir") and not set(file) & set("/\\:\0")
    if not plain:
        raise ModelError(f"{SIGNATURE_FILE}: {file!r} is no name of a .mlir file beside it.")
    if type(entry["batch_size"]) is not int or entry["batch_size"] < 1:
        raise ModelError(f"{SIGNATURE_FILE}: {file} has batch size {entry['batch_size']!r}.")
    names = {a["weight"] for a in (*entry["arguments"], *entry["outputs"]) if "weight" in a}
    missing = sorted(names - set(weights))
    if missing:
        raise ModelError(f"{WEIGHTS_FILE}: {file} takes {missing[0]}, which is not there.")
    if not isinstance(method, dict):
        raise ModelError(f"{SIGNATURE_FILE}: the methods of {file} are {method!r}.")
    if not method:  # of a function that is run by its programs alone
        return
    for described in (*method["inputs"].values(), *method["outputs"].values()):
        shape = described["shape"]
        if described["dtype"] not in TYPES or not all(size is None or type(size) is int for size in shape):
            raise ModelError(f"{SIGNATURE_FILE}: {described!r} is no type of an array.")
    given = [result["name"] for result in entry["outputs"] if "weight" not in result]
    wanted = sorted(method["outputs"])  # in this order they are written
    if given != wanted:
        raise ModelError(f"{SIGNATURE_FILE}: {file} gives {given}, but {wanted} are wanted.")
    taken = [argument["input"] for argument in entry["arguments"] if "weight" not in argument]
    wanted = [name for name in method["inputs"] if name != COUNT]
    if taken != wanted:
        raise ModelError(f"{SIGNATURE_FILE}: {file} takes {taken}, but {wanted} are wanted.")


def check_text(text: str, path: pathlib.Path, types: tuple[list[str], list[str]], trust: bool) -> None:
    """Raises `ModelError` where a program may do more than compute, or takes or gives other arrays.

    Args:
      text: The program.
      path: Its file, for the message.
      types: Of what it should take, and of what it should give.
      trust: Whether it may hold any operations.
    """
    from jax.interpreters import mlir

    found: set[str] = set()
    too_large: list[list[int]] = []

    def note(operation: "mlir.ir.Operation") -> "mlir.ir.WalkResult":
        found.add(operation.name)
        for result in operation.results:
            shape = getattr(result.type, "shape", [])
            if math.prod(size for size in shape if size > 0) > MOST_VALUES:
                too_large.append(list(shape))
        return mlir.ir.WalkResult.ADVANCE

    with mlir.make_ir_context():
        try:
            module = mlir.ir.Module.parse(text)
        except mlir.ir.MLIRError as error:
            raise ModelError(f"{path} cannot be compiled: {one_line(error)}") from error
        module.operation.walk(note)
        refused = sorted(found - OPERATIONS)
        if refused and not trust:
            raise ModelError(
                f"{path} holds the operation {refused[0]}, which no export of a model has: it may run other "
                "code. Give `trust` (--trust) if you know who made it."
            )
        if too_large:
            raise ModelError(f"{path} has an array of shape {too_large[0]}: that is too large.")
        _check_types(module, path, types)


def _check_types(module: "mlir.ir.Module", path: pathlib.Path, types: tuple[list[str], list[str]]) -> None:
    functions: list[Any] = list(module.body.operations)
    main = [f for f in functions if f.operation.name == "func.func" and f.name.value == "main"]
    if not main:
        raise ModelError(f"{path} cannot be compiled: it has no function main.")
    found = (main[0].type.inputs, main[0].type.results)
    for what, values, wanted in zip(("argument", "result"), found, types, strict=True):
        pairs = itertools.zip_longest(map(str, values), wanted)
        for number, (has, wants) in enumerate(pairs):
            if has != wants:
                raise ModelError(
                    f"{path}: {what} {number} is {has or 'none'}, but {wants or 'none'} by {SIGNATURE_FILE} "
                    f"and {WEIGHTS_FILE}."
                )


def described_type(described: dict) -> str:
    """The type of an array that signature.json describes; raises `ModelError`."""
    dtype, shape = described.get("dtype"), described.get("shape")
    sound = isinstance(shape, list) and all(type(size) is int for size in shape)
    if not sound or not isinstance(dtype, str):
        raise ModelError(f"{SIGNATURE_FILE}: {described!r} is no type of an array.")
    return array_type(dtype, list(shape or []))


def array_type(dtype: str, shape: Sequence[int]) -> str:
    """The type of an array as StableHLO writes it, such as "tensor<4x8xf32>"."""
    return f"tensor<{'x'.join([*map(str, shape), str(TYPES.get(dtype, dtype))])}>"
