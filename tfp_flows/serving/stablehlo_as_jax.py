"""StableHLO programs as functions of JAX: what may be differentiated, batched and compiled as any other.

An operation of the program becomes the one of `jax.lax` that has its meaning, so that `jax.grad`, `jax.jvp`,
`jax.hessian`, `jax.vmap` and `jax.jit` see through it, in any order and number. An export's reader holds
this module, `stablehlo_check` and `run_stablehlo` in one file.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfp_flows.serving.stablehlo_check import TYPES, ModelError

DTYPES = {written: name for name, written in TYPES.items()}  # NumPy's names, by StableHLO's
# The same by another name, or by none that is `lax`'s own.
SAME_MEANING = {
    **{"exponential": "exp", "exponential_minus_one": "expm1", "log_plus_one": "log1p", "negate": "neg"},
    **{"cosine": "cos", "sine": "sin", "divide": "div", "maximum": "max", "minimum": "min"},
    **{"multiply": "mul", "power": "pow", "remainder": "rem", "subtract": "sub", "not": "bitwise_not"},
    **{"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "popcnt": "population_count"},
    **{"round_nearest_even": "round", "count_leading_zeros": "clz", "select": "select"},
    **{
        name: name
        for name in ("abs", "add", "atan2", "cbrt", "ceil", "clamp", "floor", "imag", "is_finite", "log")
    },
    **{name: name for name in ("logistic", "real", "rsqrt", "shift_left", "shift_right_arithmetic")},
    **{
        name: name for name in ("shift_right_logical", "sign", "sqrt", "tan", "tanh", "optimization_barrier")
    },
}
REDUCERS = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min", "and": "all", "or": "any"}


def as_jax(text: str) -> Callable[[Sequence[Any]], list[Any]]:
    """The function `main` of a StableHLO module: a list of JAX's arrays to a list of them.

    Args:
      text: The module; it has passed `stablehlo_check.check_text`.

    Raises:
      ModelError: When it is called, where it holds an operation that is not known here, or numbers of 64
        bits while JAX has 32 (`jax.config.update("jax_enable_x64", True)`).
    """
    from jax.interpreters import mlir

    context = mlir.make_ir_context()
    with context:
        module = mlir.ir.Module.parse(text)

    def call(arguments: Sequence[Any]) -> list[Any]:
        with context:
            operations: list[Any] = [function.operation for function in module.body.operations]
            functions = {operation.attributes["sym_name"].value: operation for operation in operations}
            return _called(functions, "main", arguments)

    return call


def _called(functions: dict[str, Any], name: str, arguments: Sequence[Any]) -> list[Any]:
    return _block(functions, functions[name].regions[0].blocks[0], arguments)


def _block(functions: dict[str, Any], block: Any, arguments: Sequence[Any]) -> list[Any]:
    """What a block returns: its operations one after another."""
    values = dict(zip(block.arguments, arguments, strict=True))
    for operation in block.operations:
        operation = operation.operation
        operands = [values[operand] for operand in operation.operands]
        name = operation.name.rpartition(".")[2]
        if name == "return":
            return operands
        if operation.name == "func.call":
            results = _called(functions, operation.attributes["callee"].value, operands)
        else:
            results = [_computed(name, operation, operands)]
        values.update(zip(operation.results, results, strict=True))
    raise ModelError("a program ends without a return.")


def _computed(name: str, operation: Any, operands: list[Any]) -> Any:
    """The result of an operation that has one."""
    from jax import lax

    if name in SAME_MEANING:
        if name == "round_nearest_even":
            return lax.round(operands[0], lax.RoundingMethod.TO_NEAREST_EVEN)
        return getattr(lax, SAME_MEANING[name])(*operands)
    if name not in OF_THEIR_OWN:
        raise ModelError(f"the operation stablehlo.{name} cannot be made one of JAX's here.")
    return OF_THEIR_OWN[name](operation, *operands)


def _shape_and_dtype(operation: Any) -> tuple[list[int], np.dtype]:
    """Of the result; integers of 64 bits have 32 where JAX has no others."""
    import jax

    written = operation.results[0].type
    dtype = np.dtype(DTYPES.get(str(written.element_type), "void"))
    if dtype.itemsize == 8 and not jax.config.read("jax_enable_x64"):
        if dtype != np.int64:
            raise ModelError(f'{dtype} is in this program: jax.config.update("jax_enable_x64", True) first.')
        dtype = np.dtype(np.int32)
    return list(written.shape), dtype


def _list(operation: Any, name: str) -> list[int]:
    return list(operation.attributes[name])


def _precision(operation: Any) -> Any:
    """Of a product; JAX's own names are those of StableHLO."""
    from jax import lax

    if "precision_config" not in operation.attributes:
        return None
    written = [str(attribute) for attribute in operation.attributes["precision_config"]]
    return tuple(getattr(lax.Precision, text.rstrip(">").split()[-1]) for text in written)


def _constant(operation: Any) -> Any:
    shape, dtype = _shape_and_dtype(operation)
    value = operation.attributes["value"]
    if 0 in shape:
        return np.zeros(shape, dtype)
    found = np.array(value.get_splat_value().value if value.is_splat else value)
    return np.broadcast_to(found.astype(dtype), shape)


def _iota(operation: Any) -> Any:
    from jax import lax

    shape, dtype = _shape_and_dtype(operation)
    return lax.broadcasted_iota(dtype, shape, operation.attributes["iota_dimension"].value)


def _convert(operation: Any, operand: Any) -> Any:
    from jax import lax

    return lax.convert_element_type(operand, _shape_and_dtype(operation)[1])


def _bitcast_convert(operation: Any, operand: Any) -> Any:
    from jax import lax

    return lax.bitcast_convert_type(operand, _shape_and_dtype(operation)[1])


def _compare(operation: Any, left: Any, right: Any) -> Any:
    from jax import lax

    direction = str(operation.attributes["comparison_direction"]).rstrip(">").split()[-1]
    return getattr(lax, direction.lower())(left, right)


def _reshape(operation: Any, operand: Any) -> Any:
    from jax import lax

    return lax.reshape(operand, _shape_and_dtype(operation)[0])


def _broadcast_in_dim(operation: Any, operand: Any) -> Any:
    from jax import lax

    shape, _ = _shape_and_dtype(operation)
    return lax.broadcast_in_dim(operand, shape, _list(operation, "broadcast_dimensions"))


def _transpose(operation: Any, operand: Any) -> Any:
    from jax import lax

    return lax.transpose(operand, _list(operation, "permutation"))


def _reverse(operation: Any, operand: Any) -> Any:
    from jax import lax

    return lax.rev(operand, _list(operation, "dimensions"))


def _slice(operation: Any, operand: Any) -> Any:
    from jax import lax

    names = ("start_indices", "limit_indices", "strides")
    return lax.slice(operand, *(_list(operation, name) for name in names))


def _dynamic_slice(operation: Any, operand: Any, *starts: Any) -> Any:
    from jax import lax

    return lax.dynamic_slice(operand, starts, _list(operation, "slice_sizes"))


def _concatenate(operation: Any, *operands: Any) -> Any:
    from jax import lax

    return lax.concatenate(operands, operation.attributes["dimension"].value)


def _pad(operation: Any, operand: Any, value: Any) -> Any:
    from jax import lax

    names = ("edge_padding_low", "edge_padding_high", "interior_padding")
    sizes = zip(*(_list(operation, name) for name in names), strict=True)
    return lax.pad(operand, value, list(sizes))


def _set_dimension_size(operation: Any, operand: Any, size: Any) -> Any:
    """Shapes are static here: the size is what it was."""
    if list(operand.shape) != _shape_and_dtype(operation)[0]:
        raise ModelError("a program changes the size of an array while it runs.")
    return operand


def _dot(operation: Any, left: Any, right: Any) -> Any:
    from jax import lax

    return lax.dot(left, right, precision=_precision(operation))


def _dot_general(operation: Any, left: Any, right: Any) -> Any:
    from jax import lax
    from jaxlib.mlir.dialects import stablehlo

    numbers = stablehlo.DotDimensionNumbers(operation.attributes["dot_dimension_numbers"])
    contracting = numbers.lhs_contracting_dimensions, numbers.rhs_contracting_dimensions
    batching = numbers.lhs_batching_dimensions, numbers.rhs_batching_dimensions
    return lax.dot_general(left, right, (contracting, batching), precision=_precision(operation))


def _convolution(operation: Any, left: Any, right: Any) -> Any:
    from jax import lax
    from jaxlib.mlir.dialects import stablehlo

    numbers = stablehlo.ConvDimensionNumbers(operation.attributes["dimension_numbers"])
    specs = lax.ConvDimensionNumbers(
        (numbers.input_batch_dimension, numbers.input_feature_dimension, *numbers.input_spatial_dimensions),
        (
            numbers.kernel_output_feature_dimension,
            numbers.kernel_input_feature_dimension,
            *numbers.kernel_spatial_dimensions,
        ),
        (
            numbers.output_batch_dimension,
            numbers.output_feature_dimension,
            *numbers.output_spatial_dimensions,
        ),
    )
    turned = operation.attributes["window_reversal"] if "window_reversal" in operation.attributes else []
    right = lax.rev(right, [d for d, t in zip(numbers.kernel_spatial_dimensions, turned) if t])  # noqa: B905
    return lax.conv_general_dilated(
        left,
        right,
        _list(operation, "window_strides"),
        np.array(operation.attributes["padding"]).tolist(),
        _list(operation, "lhs_dilation"),
        _list(operation, "rhs_dilation"),
        specs,
        operation.attributes["feature_group_count"].value,
        operation.attributes["batch_group_count"].value,
        _precision(operation),
    )


def _reducer(operation: Any) -> str:
    """What the region of a reduction does with two numbers: the name of an operation."""
    first, last = [inner.operation for inner in operation.regions[0].blocks[0].operations][:2]
    name = first.name.rpartition(".")[2]
    if name not in REDUCERS or not last.name.endswith(".return"):
        raise ModelError(f"a reduction by {first.name} cannot be made one of JAX's here.")
    return name


def _reduce(operation: Any, operand: Any, first: Any) -> Any:
    import jax.numpy as jnp
    from jax import lax

    name = _reducer(operation)
    found = getattr(jnp, REDUCERS[name])(operand, axis=tuple(_list(operation, "dimensions")))
    return getattr(lax, SAME_MEANING[name])(found.astype(operand.dtype), first)


def _reduce_window(operation: Any, operand: Any, first: Any) -> Any:
    """A sum or a largest value over windows, which begins with 0, or with what is below all."""
    from jax import lax

    name = _reducer(operation)
    below = -np.inf if np.issubdtype(operand.dtype, np.floating) else np.iinfo(operand.dtype).min
    begin = {"add": 0, "maximum": below}.get(name)
    if begin is None:
        raise ModelError(f"windows reduced by {name} cannot be made JAX's here.")
    windows = ("window_dimensions", "window_strides", "base_dilations", "window_dilations")
    size, strides, base, dilation = (_list(operation, name) for name in windows)
    reducer = getattr(lax, SAME_MEANING[name])
    found = lax.reduce_window(
        operand,
        np.array(begin, operand.dtype),
        reducer,
        size,
        strides,
        np.array(operation.attributes["padding"]).tolist(),
        base,
        dilation,
    )
    return reducer(found, lax.broadcast(first, found.shape))


def _gather(operation: Any, operand: Any, indices: Any) -> Any:
    import jax.numpy as jnp
    from jax import lax
    from jaxlib.mlir.dialects import stablehlo

    numbers = stablehlo.GatherDimensionNumbers(operation.attributes["dimension_numbers"])
    if numbers.index_vector_dim == indices.ndim:
        indices = jnp.expand_dims(indices, -1)
    indices = jnp.moveaxis(indices, numbers.index_vector_dim, -1)
    dimensions = lax.GatherDimensionNumbers(
        tuple(numbers.offset_dims),
        tuple(numbers.collapsed_slice_dims),
        tuple(numbers.start_index_map),
        tuple(numbers.operand_batching_dims),
        tuple(numbers.start_indices_batching_dims),
    )
    sizes = _list(operation, "slice_sizes")
    return lax.gather(operand, indices, dimensions, sizes, mode=lax.GatherScatterMode.CLIP)


# What has attributes.
OF_THEIR_OWN: dict[str, Callable[..., Any]] = {
    "constant": _constant,
    "iota": _iota,
    "convert": _convert,
    "bitcast_convert": _bitcast_convert,
    "compare": _compare,
    "reshape": _reshape,
    "broadcast_in_dim": _broadcast_in_dim,
    "transpose": _transpose,
    "reverse": _reverse,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "concatenate": _concatenate,
    "pad": _pad,
    "set_dimension_size": _set_dimension_size,
    "dot": _dot,
    "dot_general": _dot_general,
    "convolution": _convolution,
    "reduce": _reduce,
    "reduce_window": _reduce_window,
    "gather": _gather,
}
