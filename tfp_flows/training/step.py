"""One step of the optimizer."""

from collections.abc import Callable

import tensorflow as tf

from tfp_flows import bijectors
from tfp_flows.checks.errors import UserError
from tfp_flows.numerics import Seed, parts, precision
from tfp_flows.training import inverse_penalty, objective
from tfp_flows.training.config import TrainingConfig
from tfp_flows.training.state import TrainingState
from tfp_flows.training.subject import Subject
from tfp_flows.training.weight_decay import decaying, shrink

OF_PENALTY = 4  # which of a step's seeds is the penalty's: `objective` has those before


def make_train_step(
    subject: Subject,
    state: TrainingState,
    config: TrainingConfig,
    strategy: tf.distribute.Strategy | None = None,
    parts_per_replica: int = 1,
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """The compiled step: (images, outliers, condition) -> (loss without outliers, gradient norm).

    Images are uint8 `[B, H, W, C]`, or what else `[B, ...]` the subject is a density of; outliers and
    conditions may be left out. The loss is in the subject's unit.

    With a `tf.distribute` strategy it takes that one's values, a part of the batch for each replica; what
    it returns is that of the whole batch. Gradients are averaged over replicas, and the noise is that of
    the whole batch, so that the step is the same for any number of replicas; and within each of them for any
    number of `parts` side by side.

    Raises:
      UserError: If `config.inverse_penalty` does not fit the model or the batch.
    """
    strategy = strategy or tf.distribute.get_strategy()
    step = _Step(subject, state, config, strategy, parts_per_replica)

    def train_step(
        images: tf.Tensor, outliers: tf.Tensor | None = None, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        with strategy.scope():
            of_replicas = strategy.run(step.of_replica, (images, outliers, condition))
            if config.weight_decay:
                rate = state.optimizer.lr(state.step) * config.weight_decay
                shrink(decaying(subject.model), rate)
            state.average.update(state.step)
            state.step.assign_add(1)
        return tuple(strategy.experimental_local_results(value)[0] for value in of_replicas)

    return tf.function(train_step, autograph=subject.autograph)


class _Step:
    """The pieces of a step, of which those with "replica" run in each."""

    def __init__(
        self,
        subject: Subject,
        state: TrainingState,
        config: TrainingConfig,
        strategy: tf.distribute.Strategy,
        parts_per_replica: int,
    ):
        self._state = state
        self._config = config
        self._num_replicas = strategy.num_replicas_in_sync
        self._parts_per_replica = parts_per_replica
        self._variables = subject.model.trainable_variables
        self._dtype = subject.dtype
        self._loss_of = objective.make_loss(subject, config)
        self._products = precision.dtype(config.mixed_precision)
        self._penalty_of = None
        if config.inverse_penalty:
            self._penalty_of = inverse_penalty.make_penalty(subject.model)
            inverse_penalty.check_batch(config.batch_size, self._num_replicas * parts_per_replica)

    def of_replica(
        self, images: tf.Tensor, outliers: tf.Tensor | None, condition: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """(loss, gradient norm) of the whole batch, from a replica's images; moves the weights."""
        loss, *gradients = self._of_parts(images, outliers, condition)
        if self._num_replicas > 1:
            mean = tf.distribute.ReduceOp.MEAN
            loss, *gradients = tf.distribute.get_replica_context().all_reduce(mean, [loss, *gradients])
        return loss, self._update(gradients)

    def _of_parts(
        self, images: tf.Tensor, outliers: tf.Tensor | None, condition: tf.Tensor | None
    ) -> list[tf.Tensor]:
        """[loss, *gradients] of a replica's images, in its parts, each with its share of the noise.

        Where there is a penalty, its gradients come after those of the loss.
        """
        replica = tf.distribute.get_replica_context()
        seed = Seed.of(tf.stack([tf.constant(self._config.seed, tf.int64), self._state.step]))
        first = replica.replica_id_in_sync_group * self._parts_per_replica
        count = self._num_replicas * self._parts_per_replica

        def of_part(
            index: tf.Tensor, images: tf.Tensor, outliers: tf.Tensor | None, condition: tf.Tensor | None
        ) -> tuple[tf.Tensor, ...]:
            own = seed.part(first + index, count)
            return self._loss_and_gradients(images, outliers, condition, own)

        like = [tf.zeros([], self._dtype), *self._variables]
        like += self._variables if self._penalty_of else ()
        return parts.total(of_part, (images, outliers, condition), self._parts_per_replica, like)

    def _loss_and_gradients(
        self,
        images: tf.Tensor,
        outliers: tf.Tensor | None,
        condition: tf.Tensor | None,
        seed: Seed,
    ) -> tuple[tf.Tensor, ...]:
        with precision.reduced(self._products), bijectors.steps_traced_once():
            with tf.GradientTape() as tape:
                loss, without_outliers = self._loss_of(images, outliers, seed, condition)
                loss /= self._parts_per_replica  # so that the parts' sum is the mean
            gradients = tape.gradient(loss, self._variables)
        if all(gradient is None for gradient in gradients):
            raise UserError("`model`: its log_prob depends on none of its trainable variables.")
        if self._penalty_of:
            zeros = [tf.zeros_like(variable) for variable in self._variables]
            gradients = [zero if g is None else g for g, zero in zip(gradients, zeros, strict=True)]
            gradients += self._gradients_of_penalty(images, seed)
        return without_outliers / self._parts_per_replica, *gradients

    def _gradients_of_penalty(self, images: tf.Tensor, seed: Seed) -> list[tf.Tensor]:
        """Those of the inverse's penalty, a part's share of it, in full precision."""
        assert self._penalty_of is not None
        with bijectors.steps_traced_once(), tf.GradientTape() as tape:
            penalty = self._penalty_of(images, seed.split(OF_PENALTY + 1)[OF_PENALTY])
            penalty /= self._parts_per_replica
        return tape.gradient(penalty, self._variables, unconnected_gradients="zero")

    def _update(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        """Moves the weights; returns the gradient's norm."""
        if self._penalty_of:
            count = len(self._variables)
            gradients = inverse_penalty.combined(
                gradients[:count], gradients[count:], self._config.inverse_penalty
            )
        norm = tf.linalg.global_norm(gradients)
        if self._config.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self._config.clip_norm, use_norm=norm)
        pairs = zip(gradients, self._variables, strict=True)
        self._state.optimizer.apply_gradients(pairs, experimental_aggregate_gradients=False)
        return norm
