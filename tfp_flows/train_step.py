"""One step of the optimizer, and all the state that it changes."""

import dataclasses
import math

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_flows import objective, runs
from tfp_flows.numerics import noise, parts, precision

OPTIMIZERS = {
    # tf_keras's legacy optimizers run one fused kernel for each variable; the newer ones a dozen.
    "adam": tf_keras.optimizers.legacy.Adam,
    "adamax": tf_keras.optimizers.legacy.Adamax,
    "rmsprop": tf_keras.optimizers.legacy.RMSprop,
}


class Schedule(tf_keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, constant, cosine decay to 0; a function of the step."""

    def __init__(self, config):
        """Takes `learning_rate`, `steps`, `warmup` and `decay` from a `TrainingConfig`."""
        self._config = config

    def __call__(self, step):
        """The learning rate at `step`, 0 at the first; float32."""
        config = self._config
        step = tf.cast(step, tf.float32)
        warmup_steps = max(config.warmup * config.steps, 1.0)
        rise = tf.minimum(1.0, (step + 1.0) / warmup_steps)
        decay_steps = max(config.decay * config.steps, 1.0)
        progress = tf.clip_by_value((step - (config.steps - decay_steps)) / decay_steps, 0.0, 1.0)
        fall = 0.5 * (1.0 + tf.cos(math.pi * progress)) if config.decay else 1.0
        return config.learning_rate * rise * fall

    def get_config(self):
        """For Keras: the settings as a dict."""
        return dataclasses.asdict(self._config)


class TrainingState(tf.train.Checkpoint):
    """All that a step changes, as one checkpoint."""

    def __init__(self, model, config):
        """Makes optimizer, weight average and counters for `model`."""
        super().__init__(
            model=model,
            optimizer=OPTIMIZERS[config.optimizer](Schedule(config)),
            average=runs.WeightAverage(model.trainable_variables, config.ema_decay),
            step=tf.Variable(0, dtype=tf.int64, trainable=False),
            # Sums over the steps since the last row of metrics.csv, so that a row that a checkpoint
            # cuts in two comes out the same.
            window=tf.Variable(tf.zeros([3], tf.float64), trainable=False),
            best=tf.Variable(np.inf, dtype=tf.float64, trainable=False),
            since_best=tf.Variable(0, dtype=tf.int64, trainable=False),
        )
        # Made at the first step otherwise, too late for a checkpoint to be matched, and the counter at the
        # first saving, by the chief alone: but hosts make variables together.
        self.optimizer._create_all_weights(model.trainable_variables)
        _ = self.save_counter


def make_train_step(family, state, config, image_shape, strategy=None, parts_per_replica=1):
    """The compiled step: images uint8 `[B, H, W, C]`, outliers -> (bits per dimension, gradient norm).

    With a `tf.distribute` strategy it takes that one's values, a part of the batch for each replica; what
    it returns is that of the whole batch. Gradients are averaged over replicas, and the noise is that of
    the whole batch, so that the step is the same for any number of replicas; and within each of them for any
    number of `parts` side by side.
    """
    strategy = strategy or tf.distribute.get_strategy()
    variables = state.model.trainable_variables
    loss_of = objective.make_loss(family, state.model, config, image_shape)
    products = precision.dtype(config.mixed_precision)

    def loss_and_gradients(images, outliers, seed):
        with precision.reduced(products):
            with tf.GradientTape() as tape:
                loss, bits_per_dim = loss_of(images, outliers, seed)
                loss /= parts_per_replica  # so that the parts' sum is the mean
            return bits_per_dim / parts_per_replica, *tape.gradient(loss, variables)

    def replica_step(images, outliers=None):
        replica = tf.distribute.get_replica_context()
        seed = tf.stack([tf.constant(config.seed, tf.int64), state.step])
        first = replica.replica_id_in_sync_group * parts_per_replica
        count = strategy.num_replicas_in_sync * parts_per_replica

        def of_part(index, images, outliers):
            return loss_and_gradients(images, outliers, noise.part(seed, first + index, count))

        like = [tf.zeros([], state.model.dtype), *variables]
        bits_per_dim, *gradients = parts.total(of_part, (images, outliers), parts_per_replica, like)
        if strategy.num_replicas_in_sync > 1:
            mean = tf.distribute.ReduceOp.MEAN
            bits_per_dim, *gradients = replica.all_reduce(mean, [bits_per_dim, *gradients])
        norm = tf.linalg.global_norm(gradients)
        if config.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, config.clip_norm, use_norm=norm)
        pairs = zip(gradients, variables, strict=True)
        state.optimizer.apply_gradients(pairs, experimental_aggregate_gradients=False)
        return bits_per_dim, norm

    @tf.function
    def train_step(images, outliers=None):
        arguments = (images,) if outliers is None else (images, outliers)
        with strategy.scope():
            of_replicas = strategy.run(replica_step, arguments)
            state.average.update(state.step)
            state.step.assign_add(1)
        return tuple(strategy.experimental_local_results(value)[0] for value in of_replicas)

    return train_step
