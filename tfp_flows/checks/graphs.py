"""Whether a SavedModel is one that can only compute: looked at before TensorFlow loads it.

A graph may hold operations that read and write files, call Python, or reach other machines, and loading one
may run some. So the file is read as data first: every operation, in whichever function, must stand in
`allowed_operations.txt`, which is made from this project's own exports. The few that save and restore
variables are allowed only in the functions that do nothing else, which nothing but the saver may name.
"""

import functools
import math
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import tensorflow as tf
from google.protobuf import message
from tensorflow.core.framework import attr_value_pb2, function_pb2, node_def_pb2, tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2, saved_object_graph_pb2

from tfp_flows.checks import files, sizes
from tfp_flows.checks.errors import UserError

GRAPH_FILE = "saved_model.pb"
ALLOWED_FILE = pathlib.Path(__file__).with_name("allowed_operations.txt")
EXPORTED, OUTSIDE, SAVER, FURTHER = (
    "operations of this project's exports",
    "of them, only outside all functions",
    "of them, only in the functions that save and restore",
    "further operations that only compute",
)
# What objects a SavedModel of functions and variables consists of.
KINDS = {"user_object", "function", "bare_concrete_function", "variable", "constant", "captured_tensor"}
CLASSES = {"_generic_user_object", "signature_map", "trackable_list_wrapper", "trackable_dict_wrapper"}
REGISTERED = {"", "tf.TrackableConstant"}
# Of functions; by others TensorFlow puts another function into the place of one (api_implements).
FUNCTION_ATTRIBUTES = {"_construction_context", "_input_shapes", "_XlaMustCompile", "_noinline"}
PARTNERS = {"forward_function_name", "backward_function_name"}  # of a function, to differentiate it


class Allowed(NamedTuple):
    """Names of operations.

    Attributes:
      everywhere: Allowed in any function, and outside.
      outside: Allowed outside all functions too.
      saver: Allowed in the functions that save and restore too.
    """

    everywhere: frozenset[str]
    outside: frozenset[str]
    saver: frozenset[str]


def check_saved_model(folder: str | os.PathLike) -> None:
    """Refuses a SavedModel that might do more than compute.

    Args:
      folder: Of the SavedModel; nothing in it is run or loaded.

    Raises:
      OSError: If it cannot be read.
      UserError: In one line, which names the file, and the operation or what else is not allowed.
    """
    graph = read_graph(folder)
    for problem in _problems(graph):
        raise UserError(
            f"{os.path.join(os.fspath(folder), GRAPH_FILE)} holds {problem}, which no export of a model "
            "has: it may read or write files, or run code. Give `trust` if you know who made it"
        )
    _check_variables(graph.object_graph_def, os.path.join(os.fspath(folder), "variables", "variables"))


def read_graph(folder: str | os.PathLike) -> meta_graph_pb2.MetaGraphDef:
    """The graph of a SavedModel, as data.

    Raises:
      OSError: If it cannot be read.
      UserError: If it is none of one graph and with objects, as TensorFlow 2 writes it.
    """
    path = os.path.join(os.fspath(folder), GRAPH_FILE)
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(files.read_bytes(path, sizes.MOST_GRAPH))
    except message.DecodeError as error:
        raise UserError(f"{path} is no SavedModel") from error
    if len(model.meta_graphs) != 1 or not model.meta_graphs[0].object_graph_def.nodes:
        raise UserError(f"{path} is no SavedModel of one graph, written by TensorFlow 2")
    return model.meta_graphs[0]


@functools.cache
def allowed() -> Allowed:
    """The operations of `allowed_operations.txt`."""
    found = sections()
    return Allowed(found[EXPORTED] | found[FURTHER], found[OUTSIDE], found[SAVER])


def sections() -> dict[str, frozenset[str]]:
    """The sections of `allowed_operations.txt`: {heading: names}."""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in ALLOWED_FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            names = found.setdefault(line.strip("[]"), [])
        elif not line.startswith("#"):
            names += line.split()
    return {heading: frozenset(names) for heading, names in found.items()}


def placed_operations(graph: meta_graph_pb2.MetaGraphDef) -> Iterator[tuple[str, str]]:
    """(heading of the place, operation) of every operation of a graph: `EXPORTED`, `OUTSIDE` or `SAVER`."""
    savers = saver_functions(graph)
    for node in graph.graph_def.node:
        yield OUTSIDE, node.op
    for function in graph.graph_def.library.function:
        place = SAVER if function.signature.name in savers else EXPORTED
        for node in function.node_def:
            yield place, node.op


def saver_functions(graph: meta_graph_pb2.MetaGraphDef) -> set[str]:
    """The functions that the graph's saver calls, if nothing else names them."""
    names = {graph.saver_def.save_tensor_name.split(":")[0], graph.saver_def.restore_op_name}
    library = graph.graph_def.library
    of_saver: set[str] = set()
    of_others: set[str] = set()
    for node in graph.graph_def.node:
        (of_saver if node.name in names else of_others).update(_called(node))
    for function in library.function:
        of_others.update(called for node in function.node_def for called in (*_called(node), node.op))
        of_others.update(function.attr[key].s.decode("latin-1") for key in PARTNERS & set(function.attr))
    of_others.update(gradient.gradient_func for gradient in library.gradient)
    of_others.update(gradient.function_name for gradient in library.gradient)
    of_others.update(gradient.gradient_func for gradient in library.registered_gradients)
    return of_saver - of_others - set(_functions_of_objects(graph.object_graph_def))


def _functions_of_objects(objects: saved_object_graph_pb2.SavedObjectGraph) -> Iterator[str]:
    yield from objects.concrete_functions
    for node in objects.nodes:
        yield node.bare_concrete_function.concrete_function_name
        yield node.captured_tensor.concrete_function
        yield from node.function.concrete_functions


def _problems(graph: meta_graph_pb2.MetaGraphDef) -> Iterator[str]:
    """What is in the graph and may not be."""
    library = graph.graph_def.library
    known = {function.signature.name for function in library.function}
    savers = saver_functions(graph)
    everywhere, outside, saver = allowed()
    yield from _of_nodes(graph.graph_def.node, everywhere | outside, known, "outside all functions")
    for function in library.function:
        name = function.signature.name
        names = everywhere | saver if name in savers else everywhere
        yield from _of_nodes(function.node_def, names, known, f"in the function {name}")
        yield from _of_function(function)
    if graph.asset_file_def:
        yield f"the further file {graph.asset_file_def[0].filename!r}"
    yield from _of_objects(graph.object_graph_def)


def _of_nodes(
    nodes: Iterable[node_def_pb2.NodeDef], allowed_names: frozenset[str], known: set[str], place: str
) -> Iterator[str]:
    for node in nodes:
        if node.op not in allowed_names:
            yield f"the operation {node.op} ({place})"
        yield from (f"a call of {name!r} ({place})" for name in _called(node) if name not in known)
        for value in node.attr.values():
            yield from _of_tensors((value.tensor, *value.list.tensor), place)


def _of_tensors(tensors: Iterable[tensor_pb2.TensorProto], place: str) -> Iterator[str]:
    for tensor in tensors:
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        if any(size < 0 for size in shape) or math.prod(shape) > sizes.MOST_VALUES:
            yield f"a constant of shape {shape} ({place})"


def _of_function(function: function_pb2.FunctionDef) -> Iterator[str]:
    for key in set(function.attr) - FUNCTION_ATTRIBUTES - PARTNERS:
        yield f"the attribute {key} (of the function {function.signature.name})"


def _of_objects(objects: saved_object_graph_pb2.SavedObjectGraph) -> Iterator[str]:
    for node in objects.nodes:
        kind = node.WhichOneof("kind")
        if kind not in KINDS:
            yield f"an object of the kind {kind}"
        if kind == "user_object" and node.user_object.identifier not in CLASSES:
            yield f"an object of the class {node.user_object.identifier!r}"
        if node.registered_name not in REGISTERED or node.registered_saver or node.slot_variables:
            yield f"an object of the class {node.registered_name or node.registered_saver or 'optimizer'!r}"
        if node.saveable_objects:
            yield "an object that saves and restores itself"


def _called(node: node_def_pb2.NodeDef) -> Iterator[str]:
    """The names of the functions that a node's attributes name."""
    for value in node.attr.values():
        yield from _functions_in(value)


def _functions_in(value: attr_value_pb2.AttrValue) -> Iterator[str]:
    for function in (value.func, *value.list.func):
        if function.name:
            yield function.name
        for nested in function.attr.values():
            yield from _functions_in(nested)


def _check_variables(objects: saved_object_graph_pb2.SavedObjectGraph, prefix: str) -> None:
    """Refuses variables larger than the files that hold them: TensorFlow would allocate them first."""
    if not any(node.WhichOneof("kind") == "variable" for node in objects.nodes):
        return
    try:
        reader = tf.train.load_checkpoint(prefix)
        dtypes, shapes = reader.get_variable_to_dtype_map(), reader.get_variable_to_shape_map()
        there = sum(tf.io.gfile.stat(file).length for file in tf.io.gfile.glob(f"{prefix}.data-*"))
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise UserError(f"{prefix}.index cannot be read: {str(error).strip().splitlines()[0]}") from error
    needed = sum(
        math.prod(shape) * dtypes[name].size for name, shape in shapes.items() if dtypes[name] != tf.string
    )
    if needed > there:
        raise UserError(f"{prefix}.data* are cut short: {there:,} bytes of {needed:,}")
