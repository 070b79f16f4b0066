"""A flat graph as a file of ONNX, by way of tf2onnx; it is loaded once by onnxruntime before it is kept."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from tfp_flows.checks import extras
from tfp_flows.checks.errors import UserError
from tfp_flows.serving.flattening import Flat

OPSET = 18


class LackingError(UserError):
    """ONNX, or its runtime, lacks something; the message is the end of a sentence."""


def convert(flat: Flat, about: dict[str, str]) -> bytes:
    """The file.

    Args:
      flat: The graph.
      about: What it says of itself, as its `metadata_props`.

    Raises:
      LackingError: If there is an operation that ONNX does not have.
      UserError: If tf2onnx or onnxruntime is not installed.
    """
    with extras.needed("onnx", "an export as ONNX"):
        import onnx
        import onnxruntime
        import tf2onnx
    names = {tensor: name for name, tensor in (*flat.inputs.items(), *flat.outputs.items())}
    try:
        with _quiet("tf2onnx"):
            proto, _ = tf2onnx.convert.from_graph_def(
                flat.graph_def,
                name="tfp_flows",
                input_names=list(flat.inputs.values()),
                output_names=list(flat.outputs.values()),
                tensors_to_rename=names,
                opset=OPSET,
                custom_op_handlers={"SelectV2": (_select, [])},
            )
    except Exception as error:  # tf2onnx raises whatever it meets
        raise LackingError(f"is not made by tf2onnx: {' '.join(str(error).split()):.200}") from error
    for operation in _operations(proto.graph):
        if not onnx.defs.has(operation, OPSET):
            raise LackingError(f"has no operation {operation}")
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    for key, text in about.items():
        proto.metadata_props.add(key=key, value=text)
    content = proto.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of onnxruntime's own classes, which derive from nothing narrower
        raise LackingError(f"is not run by onnxruntime: {str(error).splitlines()[0]:.200}") from error
    return content


def _select(context: Any, node: Any, name: str, arguments: Any) -> None:
    """A choice as ONNX's; tf2onnx would make sums of products of it, in which infinity times 0 is NaN."""
    del context, name, arguments
    node.type = "Where"


def _operations(graph: Any) -> Iterator[str]:
    """The names of a graph's operations, and of those within them."""
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _operations(inner)


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Without what a package logs of its progress, and of operations that are refused here."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
