"""SavedModels that do harm: made as an attacker would, from an export of this project."""

import json
import pathlib
import shutil

import tensorflow as tf
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import saved_model_pb2

SHAPE = (8, 8, 1)


def written_by_a_graph(path):
    """A tensor whose evaluation writes the file `path`."""
    with tf.control_dependencies([tf.io.write_file(str(path), "harm")]):
        return tf.constant(0.0)


def python_called(path):
    """A tensor whose evaluation calls Python, which writes the file `path`."""

    def harm():
        pathlib.Path(path).write_text("harm")
        return 0.0

    return tf.reshape(tf.py_function(harm, [], tf.float32), [])


def export(folder, harm, where="served"):
    """A folder like an export whose graph evaluates `harm()` when it is scored with, or loaded."""
    module = tf.Module()
    images = tf.TensorSpec([None, *SHAPE], tf.uint8, name="images")
    inner = tf.function(harm, autograph=False)

    def scores(images, extra):
        log_prob = tf.reduce_sum(tf.cast(images, tf.float32), axis=[1, 2, 3]) + extra
        return {"log_prob": log_prob, "bits_per_dim": log_prob}

    def served(images):
        return scores(images, harm())

    def nested(images):
        return scores(images, inner())

    def looped(images):
        return scores(
            images, tf.while_loop(lambda i, x: i < 1, lambda i, x: (i + 1, x + harm()), (0, 0.0))[1]
        )

    def conditional(images):
        return scores(images, tf.cond(tf.shape(images)[0] > 0, harm, lambda: 0.0))

    def gradient(images):
        @tf.custom_gradient
        def same(x):
            return x, lambda upstream: upstream + harm()

        x = tf.reduce_sum(tf.cast(images, tf.float32), axis=[1, 2, 3])
        return scores(images, tf.gradients(same(x), x)[0])

    chosen = {f.__name__: f for f in (served, nested, looped, conditional, gradient)}
    if where == "resource":
        module.table = _Resource(harm)
    function = chosen.get(where, lambda images: scores(images, 0.0))
    module.serve = tf.function(function, input_signature=[images], autograph=False)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    sign(folder)


class _Resource(tf.saved_model.experimental.TrackableResource):
    def __init__(self, harm):
        super().__init__()
        self._harm = harm

    def _create_resource(self):
        return tf.raw_ops.MutexV2(shared_name="harm", container="")

    def _initialize(self):  # TensorFlow runs it when it has loaded the object
        self._harm()


def sign(folder):
    """Writes the signature.json of an export."""
    described = {
        "format": 1,
        "export_format": "savedmodel",
        "image_shape": list(SHAPE),
        "methods": {"serving_default": {}},
        "detector": None,
    }
    (pathlib.Path(folder) / "signature.json").write_text(json.dumps(described))


def changed(source, folder, change):
    """A copy of an export whose graph is `change(meta_graph)`d."""
    shutil.copytree(source, folder)
    file = pathlib.Path(folder) / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(model.meta_graphs[0])
    file.write_bytes(model.SerializeToString())


def node(operation, name="harm", **attributes):
    """A node of an operation, as a protobuf."""
    made = node_def_pb2.NodeDef(name=name, op=operation)
    for key, function in attributes.items():
        made.attr[key].func.name = function
    return made
