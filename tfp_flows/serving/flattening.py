"""A traced function as one flat graph of operations that ONNX and TensorFlow Lite have likes of.

    flat = flattening.flatten(function.get_concrete_function())

The graph is gone through once. What does not depend on the inputs is computed now: weights in the form in
which they are used, noise of a fixed seed. Calls and branches are put in place, loops whose length is known
are unrolled, checks of values are left out, and what neither format has is made of other operations.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.python.framework import convert_to_constants, function_def_to_graph

from tfp_flows.checks.errors import UserError
from tfp_flows.serving import other_operations

Values: TypeAlias = list[Any]  # tensors of the new graph, and lists of them in the place of TensorFlow's

MOST_TURNS = 1024  # of a loop
CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
LOOPS, BRANCHES = {"While", "StatelessWhile"}, {"If", "StatelessIf"}
LEFT_OUT = {"Assert", "NoOp"}
PASSED_ON = {"Identity", "IdentityN", "EnsureShape", "StopGradient", "PreventGradient", "CheckNumerics"}
# A TensorArray of TensorFlow 2, a list in a loop: here Python's.
LISTS: dict[str, Callable[..., Any]] = {
    "TensorListReserve": lambda shape, count: [None] * int(count),
    "TensorListFromTensor": lambda rows, shape: tf.unstack(rows),
    "TensorListSetItem": lambda rows, index, row: [*rows[: int(index)], row, *rows[int(index) + 1 :]],
    "TensorListGetItem": lambda rows, index, shape: rows[int(index)],
    "TensorListStack": lambda rows, shape: tf.stack(rows),
}
INDICES = {"TensorListReserve": (1,), "TensorListSetItem": (1,), "TensorListGetItem": (1,)}


class FlatteningError(UserError):
    """A graph cannot be made flat; the message is a clause that says why."""


class Flat(NamedTuple):
    """A flat graph.

    Attributes:
      graph_def: The graph.
      inputs: {name: name of its tensor}.
      outputs: Likewise.
    """

    graph_def: graph_pb2.GraphDef
    inputs: dict[str, str]
    outputs: dict[str, str]


def flatten(concrete: tf.types.experimental.ConcreteFunction, narrow: bool = False) -> Flat:
    """The flat graph of a function of named tensors that gives a dict of tensors.

    Args:
      concrete: The function, traced.
      narrow: Whether what is float64 becomes float32 where it depends on the inputs.

    Raises:
      FlatteningError: If a loop's length depends on the inputs, or a branch that is taken.
    """
    frozen = convert_to_constants.convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    positional, named = concrete.structured_input_signature
    names = [spec.name for spec in (*positional, *named.values())]
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        flattener = _Flattener(frozen.graph, session, narrow)
        inputs = [
            tf.compat.v1.placeholder(tensor.dtype, tensor.shape, name)
            for name, tensor in zip(names, frozen.inputs, strict=True)
        ]
        found = flattener.run(frozen.graph, frozen.inputs, frozen.outputs, inputs)
        order = sorted(concrete.structured_outputs)  # that of `tf.nest`
        outputs = {
            name: tf.identity(flattener.used(value), f"output_{name}").name
            for name, value in zip(order, found, strict=True)
        }
        constants = session.run(flattener.constants())
        graph_def = _pruned(graph.as_graph_def(), constants, list(outputs.values()))
    return Flat(graph_def, {n: t.name for n, t in zip(names, inputs, strict=True)}, outputs)


def _pruned(
    graph_def: graph_pb2.GraphDef, constants: dict[str, np.ndarray], outputs: Sequence[str]
) -> graph_pb2.GraphDef:
    """The part of a graph that outputs need, with nodes that have become constants."""
    nodes = {node.name: node for node in graph_def.node}
    for name, array in constants.items():
        nodes[name] = tf.compat.v1.NodeDef(name=name, op="Const")
        nodes[name].attr["dtype"].type = tf.as_dtype(array.dtype).as_datatype_enum
        nodes[name].attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
    needed: set[str] = set()
    further = [name.split(":")[0] for name in outputs]
    while further:
        name = further.pop()
        if name not in needed:
            needed.add(name)
            further += [source.split(":")[0].lstrip("^") for source in nodes[name].input]
    kept = graph_pb2.GraphDef(node=[nodes[node.name] for node in graph_def.node if node.name in needed])
    kept.versions.CopyFrom(graph_def.versions)
    return kept


class _Flattener:
    """Copies operations into the default graph, and knows which of its tensors depend on no input."""

    def __init__(self, source: tf.Graph, session: tf.compat.v1.Session, narrow: bool):
        self._source = source
        self._library = {f.signature.name: f for f in source.as_graph_def().library.function}
        self._session = session
        self._narrow = narrow
        self._known: set[Any] = set()
        self._used: dict[Any, tf.Tensor] = {}
        self._graphs: dict[str, Any] = {}

    def run(
        self, graph: tf.Graph, inputs: Sequence[tf.Tensor], outputs: Sequence[tf.Tensor], given: Values
    ) -> Values:
        """The values of `outputs`, for those given of `inputs`."""
        values = dict(zip((t.ref() for t in inputs), given, strict=True))
        for operation in graph.get_operations():
            if operation.type in {"Placeholder", *LEFT_OUT}:
                continue
            found = self._of_operation(operation, [values[t.ref()] for t in operation.inputs])
            values.update(zip((t.ref() for t in operation.outputs), found, strict=True))
        return [values[tensor.ref()] for tensor in outputs]

    def used(self, value: tf.Tensor) -> tf.Tensor:
        """A tensor as what depends on the inputs takes it: what is known is to become one constant."""
        if value.ref() not in self._known:
            return value
        if value.ref() not in self._used:
            narrow = self._narrow and value.dtype == tf.float64
            taken = tf.cast(value, tf.float32) if narrow else value
            self._used[value.ref()] = tf.identity(taken, "constant")
        return self._used[value.ref()]

    def constants(self) -> dict[str, tf.Tensor]:
        """By their names the operations that are to become constants, with what they are to hold."""
        return {tensor.op.name: tensor for tensor in self._used.values()}

    def _of_operation(self, operation: tf.Operation, inputs: Values) -> Values:
        kind = operation.type
        if kind in PASSED_ON:
            return inputs
        if kind in CALLS:
            return self._call(operation.get_attr("f").name, inputs)
        if kind in LOOPS:
            return self._unrolled(operation, inputs)
        if kind in BRANCHES:
            taken = "then_branch" if self._number(inputs[0], operation) else "else_branch"
            return self._call(operation.get_attr(taken).name, inputs[1:])
        if kind in LISTS:
            return [self._of_list(operation, inputs)]
        if all(value.ref() in self._known for value in inputs) and not operation.op_def.is_stateful:
            return self._copied(operation, inputs, known=True)
        inputs = [self.used(value) for value in inputs]
        other = other_operations.OTHERS.get(kind)
        found = other and other(operation, *inputs)
        return [found] if found is not None else self._copied(operation, inputs, known=False)

    def _copied(self, operation: tf.Operation, inputs: Values, known: bool) -> Values:
        attributes = dict(operation.node_def.attr)
        if self._narrow and not known:
            attributes = {name: other_operations.narrowed(value) for name, value in attributes.items()}
        dtypes = [output.dtype for output in operation.outputs]
        if self._narrow and not known:
            dtypes = [tf.float32 if dtype == tf.float64 else dtype for dtype in dtypes]
        attributes = {name: value for name, value in attributes.items() if not name.startswith("_")}
        copy = tf.compat.v1.get_default_graph().create_op(
            operation.type, inputs, dtypes, name=operation.type, attrs=attributes
        )
        if known:
            self._known.update(output.ref() for output in copy.outputs)
        return list(copy.outputs)

    def _call(self, name: str, inputs: Values) -> Values:
        if name not in self._graphs:
            with self._source.as_default():
                self._graphs[name] = function_def_to_graph.function_def_to_graph(self._library[name])
        body = self._graphs[name]
        return self.run(body, body.inputs, body.outputs, inputs)

    def _unrolled(self, operation: tf.Operation, values: Values) -> Values:
        for _ in range(MOST_TURNS + 1):
            (more,) = self._call(operation.get_attr("cond").name, values)
            if not self._number(more, operation):
                return values
            values = self._call(operation.get_attr("body").name, values)
            values = [self._counted(value) for value in values]
        raise FlatteningError(f"a loop has more than {MOST_TURNS:,} turns")

    def _counted(self, value: Any) -> Any:
        """A counter as one constant, and no sum of as many as there were turns."""
        if isinstance(value, list) or value.ref() not in self._known or value.shape.rank != 0:
            return value
        constant = tf.constant(self._session.run(value))
        self._known.add(constant.ref())
        return constant

    def _of_list(self, operation: tf.Operation, inputs: Values) -> Any:
        numbers = INDICES.get(operation.type, ())
        given = [self._number(v, operation) if i in numbers else v for i, v in enumerate(inputs)]
        tensors = [v for v in tf.nest.flatten(inputs) if tf.is_tensor(v)]
        known = all(value.ref() in self._known for value in tensors)
        if not known:
            given = tf.nest.map_structure(lambda v: self.used(v) if tf.is_tensor(v) else v, given)
        found = LISTS[operation.type](*given)
        if known:
            self._known.update(value.ref() for value in tf.nest.flatten(found) if tf.is_tensor(value))
        return found

    def _number(self, value: tf.Tensor, operation: tf.Operation) -> Any:
        if value.ref() not in self._known:
            raise FlatteningError(f"{operation.type} ({operation.name}) depends on the images")
        return self._session.run(value)
