"""A function traced as it is when a SavedModel is written, so that writing one does not trace it again.

TensorFlow keeps traces by the context that they were made in, and writing a SavedModel is one of its own:
whatever was traced before is traced anew there, which is half of the time that an export takes.
"""

import tensorflow as tf
from tensorflow.python.saved_model import save_context  # nothing public enters it


def for_saving(
    function: tf.types.experimental.PolymorphicFunction,
) -> tf.types.experimental.ConcreteFunction:
    """The concrete function of a `tf.function` with an input signature, for `tf.saved_model.save`."""
    with save_context.save_context(tf.saved_model.SaveOptions()):
        return function.get_concrete_function()
