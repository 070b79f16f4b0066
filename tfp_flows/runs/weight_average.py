"""The moving average of a model's weights, which is what is evaluated."""

from collections.abc import Iterable

import tensorflow as tf


class WeightAverage(tf.Module):
    """Exponential moving average of variables: average <- d * average + (1 - d) * variable.

    d = min(decay, (1 + t) / (10 + t)) at step t, so that the first steps count for little later.
    """

    def __init__(self, variables: Iterable[tf.Variable], decay: float):
        """Starts the averages at the variables' values; `decay` 0 means none is kept."""
        super().__init__(name="weight_average")
        self._variables = tuple(variables)
        self._decay = decay
        self.averages = [tf.Variable(v, trainable=False, name="average") for v in variables if decay > 0]

    def reset(self) -> None:
        """Sets the averages to the variables' present values."""
        for average, variable in zip(self.averages, self._variables, strict=bool(self.averages)):
            average.assign(variable)

    def update(self, step: tf.Tensor) -> None:
        """One step of averaging; `step` is an integer tensor, 0 at the first."""
        if not self.averages:
            return
        step = tf.cast(step, tf.float32)
        rate = 1.0 - tf.minimum(self._decay, (1.0 + step) / (10.0 + step))

        def move(average: tf.Variable, variable: tf.Variable) -> None:
            average.assign_sub(tf.cast(rate, average.dtype) * (average - variable))

        everywhere = tf.distribute.get_strategy().extended  # each device moves its own copy
        for average, variable in zip(self.averages, self._variables, strict=True):
            everywhere.update(average, move, args=(variable,))

    def pairs(self) -> list[tuple[tf.Variable, tf.Variable]]:
        """(variable, its average) for each; none where none is kept."""
        return list(zip(self._variables, self.averages, strict=True)) if self.averages else []

    def __enter__(self) -> "WeightAverage":
        """Puts the averages in the variables' place until the end of the `with` block."""
        self._kept = [tf.identity(v) for v in self._variables] if self.averages else []
        self.to_variables()
        return self

    def __exit__(self, *error: object) -> None:
        for variable, value in zip(self._variables, self._kept, strict=bool(self._kept)):
            variable.assign(value)
        self._kept = []

    def to_variables(self) -> None:
        """Sets the variables to their averages for good."""
        for average, variable in zip(self.averages, self._variables, strict=bool(self.averages)):
            variable.assign(average)
