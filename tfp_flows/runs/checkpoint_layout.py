"""What a training's checkpoint holds, and by which names `tf.train.load_checkpoint` shows it.

average/level0/step3/coupling/...   the averaged weights, by the model's names (`variables_by_name`)
model/level0/step3/coupling/...     the weights of that step, and what of the model is not trained
optimizer/..., step, ...            the rest of the training

Variables of strangers' models, whose names may be others when they are built again, have numbers for names:
average/weights/0.

Checkpoints were written with other names before, which are still read: model by its attributes in Python,
averages by number.
"""

import pathlib
from typing import Any

import tensorflow as tf

from tfp_flows.runs.variable_names import nested, variables_by_name
from tfp_flows.runs.weight_average import WeightAverage

# The first weight of those with other names: WeightAverage kept the model's weights beside their averages.
BEFORE = "average/_variables/0/.ATTRIBUTES/VARIABLE_VALUE"


class Layout:
    """A training's state as checkpoints have it.

    Attributes:
      written: A `tf.train.Checkpoint`, as they are written.
    """

    def __init__(self, written: tf.train.Checkpoint, before: dict[str, Any]):
        """Takes it, and what is in those with other names, by these."""
        self.written = written
        self._before = before

    @classmethod
    def by_name(cls, model: tf.Module, average: WeightAverage, **others: Any) -> "Layout":
        """Of a model whose names are those of its config; `others` is what else there is."""
        variables = variables_by_name(model)
        names = {id(variable): name for name, variable in variables.items()}
        averages = {names[id(variable)]: averaged for variable, averaged in average.pairs()}
        written = tf.train.Checkpoint(model=nested(variables), average=nested(averages), **others)
        return cls(written, dict(model=model, average=average, **others))

    @classmethod
    def by_number(cls, model: tf.Module, average: WeightAverage, **others: Any) -> "Layout":
        """Of a stranger's model, whose variables are always in the same order."""
        weights, averages = {"weights": list(model.variables)}, {"weights": list(average.averages)}
        written = tf.train.Checkpoint(model=weights, average=averages, **others)
        return cls(written, dict(model=model, average=average, **others))

    def of(self, path: pathlib.Path) -> tf.train.Checkpoint:
        """What reads a checkpoint: one that has the names that it has."""
        if tf.train.load_checkpoint(str(path)).has_tensor(BEFORE):
            return tf.train.Checkpoint(**self._before)
        return self.written
