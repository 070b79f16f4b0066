"""A flat graph as a file of TensorFlow Lite, of its own operations alone.

It is loaded once, before it is kept, by the interpreter of LiteRT, as TensorFlow Lite is called now.
"""

import json
import re
import tempfile

import tensorflow as tf

from tfp_flows.checks import extras
from tfp_flows.checks.errors import UserError
from tfp_flows.serving.flattening import Flat

METADATA = "tfp_flows"  # name of the entry among the file's metadata


class LackingError(UserError):
    """TensorFlow Lite lacks something; the message is the end of a sentence."""


def convert(flat: Flat, about: dict[str, str]) -> bytes:
    """The file; its one signature is `serving_default`.

    Args:
      flat: The graph, without float64.
      about: What it says of itself, as JSON in its metadata.

    Raises:
      LackingError: If there is an operation that TensorFlow Lite does not have.
      UserError: If LiteRT is not installed.
    """
    with extras.needed("tflite", "an export as TensorFlow Lite"):
        from ai_edge_litert import interpreter
    try:
        content = with_metadata(_converted(flat), about)
        interpreter.Interpreter(model_content=content).allocate_tensors()
    except Exception as error:  # of the converter's own class, or any other
        raise LackingError(_reason(str(error))) from error
    return content


def _converted(flat: Flat) -> bytes:
    """The file, by way of a SavedModel: the converter keeps names of a signature from nothing else."""
    ((name, tensor),) = flat.inputs.items()
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(flat.graph_def, name="")
    spec = tf.TensorSpec.from_tensor(graph.get_tensor_by_name(tensor), name)

    def function(images: tf.Tensor) -> dict[str, tf.Tensor]:
        given = {tensor: images}
        found = tf.import_graph_def(flat.graph_def, given, list(flat.outputs.values()), name="")
        return dict(zip(flat.outputs, found, strict=True))

    module = tf.Module()
    module.function = tf.function(function, input_signature=[spec], autograph=False)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.function})
        return tf.lite.TFLiteConverter.from_saved_model(folder).convert()


def with_metadata(content: bytes, about: dict[str, str]) -> bytes:
    """The file with JSON in the place of its metadata, and as its description."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    text = json.dumps(about)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(text.encode())
    entry.name, entry.buffer = METADATA, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    model.description = text
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _reason(text: str) -> str:
    """What is missing, of what the converter says."""
    lacking = re.findall(r"tf\.(\w+)\(", text.partition("Details:")[2]) or re.findall(
        r"'tf\.(\w+)' op", text
    )
    if lacking:
        return f"has no operation {', '.join(sorted(set(lacking)))}"
    return f"does not take it: {' '.join(text.split())[:200]}"
