"""Strategies of SavedModels that are well-formed messages, with edits that no exporter makes."""

from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from tests.fuzz import damage
from tfp_flows.checks import graphs

_SMALL = st.integers(-2, 60)
_SIZES = st.one_of(_SMALL, st.sampled_from([2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1]))


@st.composite
def edited(draw, sound):
    """The bytes of a graph with one to three edits, of allowed operations alone."""
    model = saved_model_pb2.SavedModel.FromString(sound)
    graph = model.meta_graphs[0]
    for _ in range(draw(st.integers(1, 3))):
        draw(st.sampled_from([_node, _node, _node, _objects, _functions]))(draw, graph)
    return model.SerializeToString()


def _any(draw, items):
    return items[draw(st.integers(0, len(items) - 1))]


def _node(draw, graph):
    """Another operation, another input, another attribute, or none."""
    nodes = [graph.graph_def.node, *(f.node_def for f in graph.graph_def.library.function if f.node_def)]
    chosen = _any(draw, nodes)
    if not len(chosen):
        return
    place = draw(st.integers(0, len(chosen) - 1))
    node = chosen[place]
    kind = draw(st.integers(0, 5))
    if kind == 0:
        del chosen[place]
    elif kind == 1:
        node.op = draw(st.sampled_from(sorted(graphs.allowed().everywhere)))
    elif kind == 2 and node.input:
        node.input[draw(st.integers(0, len(node.input) - 1))] = _any(draw, chosen).name + draw(
            st.sampled_from(["", ":0", ":output:0", ":output:9"])
        )
    elif kind == 3 and node.attr:
        del node.attr[draw(st.sampled_from(sorted(node.attr)))]
    elif node.attr:
        attribute = node.attr[draw(st.sampled_from(sorted(node.attr)))]
        field = draw(st.sampled_from(["i", "type", "b", "shape", "tensor"]))
        if field == "shape":
            attribute.shape.dim.add(size=draw(_SIZES))
        elif field == "tensor":
            attribute.tensor.dtype = draw(st.integers(0, 25))
            attribute.tensor.tensor_shape.dim.add(size=draw(_SIZES))
        elif field == "type":
            attribute.type = draw(st.integers(0, 25))
        else:
            setattr(attribute, field, draw(_SIZES if field == "i" else st.booleans()))


def _objects(draw, graph):
    """Other children, captures and kinds of objects."""
    node = _any(draw, graph.object_graph_def.nodes)
    kind = draw(st.integers(0, 4))
    if kind == 0 and node.children:
        _any(draw, node.children).node_id = draw(_SMALL)
    elif kind == 1 and node.children:
        _any(draw, node.children).local_name = draw(damage.TEXTS.filter(lambda t: t.isprintable()))
    elif kind == 2 and node.WhichOneof("kind") == "variable":
        node.variable.shape.dim.add(size=draw(_SIZES))
        node.variable.dtype = draw(st.integers(0, 25))
    elif kind == 3 and graph.object_graph_def.concrete_functions:
        name = draw(st.sampled_from(sorted(graph.object_graph_def.concrete_functions)))
        graph.object_graph_def.concrete_functions[name].bound_inputs.append(draw(_SMALL))
    else:
        node.constant.operation = draw(st.sampled_from(["", "Const", "none"]))


def _functions(draw, graph):
    """Functions without a result, an argument, or a name."""
    if not graph.graph_def.library.function:
        return
    function = _any(draw, graph.graph_def.library.function)
    kind = draw(st.integers(0, 3))
    if kind == 0 and function.ret:
        del function.ret[draw(st.sampled_from(sorted(function.ret)))]
    elif kind == 1 and function.signature.input_arg:
        del function.signature.input_arg[0]
    elif kind == 2 and function.signature.output_arg:
        _any(draw, function.signature.output_arg).type = draw(st.integers(0, 25))
    else:
        function.signature.name = draw(st.sampled_from(["", "f", "Abs"]))
