"""All the state that training changes: weights, optimizer, weight average, counters."""

import dataclasses
import math
import pathlib

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_flows.runs import Layout, WeightAverage
from tfp_flows.training.config import TrainingConfig

OPTIMIZERS = {
    # tf_keras's legacy optimizers run one fused kernel for each variable; the newer ones a dozen.
    "adam": tf_keras.optimizers.legacy.Adam,
    "adamax": tf_keras.optimizers.legacy.Adamax,
    "rmsprop": tf_keras.optimizers.legacy.RMSprop,
}


FALLS = {  # from 1 to 0, of the fraction of the decay that is over
    "cosine": lambda progress: 0.5 * (1.0 + tf.cos(math.pi * progress)),
    "linear": lambda progress: 1.0 - progress,
    "sqrt": lambda progress: 1.0 - tf.sqrt(progress),  # Haegele et al. 2024, arXiv:2405.18392
}


OTHERS = ("optimizer", "step", "window", "best", "since_best")  # of a checkpoint, beside the weights


class Schedule(tf_keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, constant, decay to 0; a function of the step."""

    def __init__(self, config: TrainingConfig):
        """Takes `learning_rate`, `steps`, `warmup`, `decay` and `decay_form` from a `TrainingConfig`."""
        self._config = config

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The learning rate at `step`, 0 at the first; float32."""
        config = self._config
        step = tf.cast(step, tf.float32)
        warmup_steps = max(config.warmup * config.steps, 1.0)
        rise = tf.minimum(1.0, (step + 1.0) / warmup_steps)
        decay_steps = max(config.decay * config.steps, 1.0)
        progress = tf.clip_by_value((step - (config.steps - decay_steps)) / decay_steps, 0.0, 1.0)
        fall = FALLS[config.decay_form](progress) if config.decay else 1.0
        return config.learning_rate * rise * fall

    def get_config(self) -> dict:
        """For Keras: the settings as a dict."""
        return dataclasses.asdict(self._config)


class TrainingState:
    """All that a step changes, and the checkpoint that holds it.

    Attributes:
      model: The model.
      optimizer: Its optimizer.
      average: The moving average of its weights.
      step: How many steps were taken.
      window: Sums over the steps since the last row of metrics.csv, so that a row that a checkpoint cuts in
        two comes out the same: of ones, of losses, of gradients' norms.
      best: The best validation so far, and `since_best` how many came after it; negative in `be_patient`.
      checkpoint: All of them, to be written.
    """

    def __init__(self, model: tf.Module, config: TrainingConfig, numbered: tf.Module | None = None):
        """Makes optimizer, weight average and counters for `model`.

        Args:
          model: Anything with `trainable_variables`.
          config: The settings.
          numbered: What has the variables of a stranger's model, which checkpoints number; None for a model
            of a family's config, whose variables go by their names.
        """
        self.model = model
        self.optimizer = OPTIMIZERS[config.optimizer](Schedule(config))
        self.average = WeightAverage(model.trainable_variables, config.ema_decay)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.window = tf.Variable(tf.zeros([3], tf.float64), trainable=False)
        self.best = tf.Variable(np.inf, dtype=tf.float64, trainable=False)
        self.since_best = tf.Variable(0, dtype=tf.int64, trainable=False)
        # Made at the first step otherwise, too late for a checkpoint to be matched, and the counter at the
        # first saving, by the chief alone: but hosts make variables together.
        self.optimizer._create_all_weights(model.trainable_variables)
        others = {name: getattr(self, name) for name in OTHERS}
        if numbered is None:
            self._layout = Layout.by_name(model, self.average, **others)
        else:
            self._layout = Layout.by_number(numbered, self.average, **others)
        self.checkpoint = self._layout.written
        _ = self.checkpoint.save_counter

    def be_patient(self, config: TrainingConfig) -> None:
        """Has a run whose `steps` have grown take all of them, unless it gets better first.

        The learning rate rises again, so that for a while every validation is worse than the best one.
        """
        left = config.steps // config.validate_every - int(self.step.numpy()) // config.validate_every
        self.since_best.assign(-1 - left)

    def restore(self, path: pathlib.Path) -> None:
        """Sets everything to what a checkpoint holds.

        Raises:
          AssertionError: If it holds something else; and what TensorFlow raises (`runs.UNREADABLE`).
        """
        found = self._layout.of(path)
        found.restore(str(path)).assert_consumed()
        self.checkpoint.save_counter.assign(found.save_counter)
