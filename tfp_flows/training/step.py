"""One step of the optimizer."""

import tensorflow as tf

from tfp_flows.numerics import Seed, parts, precision
from tfp_flows.training import objective


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
        seed = Seed.of(tf.stack([tf.constant(config.seed, tf.int64), state.step]))
        first = replica.replica_id_in_sync_group * parts_per_replica
        count = strategy.num_replicas_in_sync * parts_per_replica

        def of_part(index, images, outliers):
            return loss_and_gradients(images, outliers, seed.part(first + index, count))

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
