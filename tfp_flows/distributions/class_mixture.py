"""A density of images given their class, as one over images: summed over the classes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError
from tfp_flows.checks.images import check_images
from tfp_flows.distributions.image_distribution import ImageDistribution
from tfp_flows.numerics import Seed, SeedLike, noise


class ClassMixture(ImageDistribution):
    """p(x) = sum_y p(y) p(x | y), of a density p(x | y) that is given the class y as a condition.

        log p(x)   = logsumexp_y [ log p(y) + log p(x | y) ]
        p(y | x)   = p(y) p(x | y) / p(x)

    K passes through the conditional density, one class after the other, so that memory is that of one. Where
    log p(x | y) is a lower bound, so is log p(x); with `Dequantized` all classes have the same noise.

    Batch shape `[]`, event `[H, W, C]` of integers; log-probabilities in nats.

    #### Example

    ```python
    flow = tfp_flows.glow(tfp_flows.GlowConfig(levels=2), (28, 28, 1), condition_channels=10)
    model = tfp_flows.ClassMixture(tfp_flows.Dequantized(flow), probs=np.bincount(labels), class_names=names)
    tfp_flows.fit(model, images, conditions=labels, steps=2_000)    # maximises log p(x | y)
    model.log_prob(images)                          # [B], log p(x)
    model.log_prob(images, condition=labels)        # [B], log p(x | y); also names, or vectors [B, K]
    model.class_log_probs(images)                   # [B, K], log p(x | y) for every y
    model.posterior(images).probs_parameter()       # [B, K], p(y | x)
    model.sample(16, seed=0)                        # y from p(y), x from p(x | y)
    model.sample([8, 10], condition=range(10), seed=0)              # 8 images of each of 10 classes
    ```

    A condition is K numbers, 1 for the class and 0 for the others. Further keyword arguments of `log_prob`
    and `sample` go to the conditional density.
    """

    def __init__(
        self,
        conditional: tfd.Distribution,
        probs: npt.ArrayLike,
        class_names: Sequence[str] | None = None,
        name: str = "class_mixture",
    ):
        """Creates the distribution.

        Args:
          conditional: p(x | y) over integer images `[H, W, C]`, such as `Dequantized` or a `PixelCNN`: its
            `log_prob(x, condition=)` takes `[B, K]`, and so does its `sample(B, condition=, seed=)`.
          probs: p(y), `[K]` positive numbers; they are divided by their sum, so that counts will do.
          class_names: What the classes are called; None for "0", "1", ...
          name: Python `str`.

        Raises:
          UserError: If an argument is not of this kind.
        """
        parameters = dict(locals())
        found = np.asarray(probs, np.float64)
        if found.ndim != 1 or not len(found) or not np.all(np.isfinite(found) & (found > 0)):
            raise UserError(f"{name}: `probs` must be K positive numbers, got {probs!r}.")
        names = tuple(map(str, range(len(found)) if class_names is None else class_names))
        if len(names) != len(found) or len(set(names)) < len(names):
            raise UserError(f"{name}: `class_names` must be {len(found)}, each once, got {names}.")
        self._conditional = conditional
        self._probs = found / found.sum()
        self._class_names = names
        super().__init__(conditional.event_shape, conditional.dtype, parameters, name)

    @property
    def conditional(self) -> tfd.Distribution:
        """p(x | y)."""
        return self._conditional

    @property
    def mixture_distribution(self) -> tfd.Categorical:
        """p(y)."""
        return tfd.Categorical(probs=tf.constant(self._probs, self.dtype))

    @property
    def log_priors(self) -> tf.Tensor:
        """log p(y) of every class, `[K]`."""
        return tf.constant(np.log(self._probs), self.dtype)

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the classes 0..K-1 are called."""
        return self._class_names

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self._class_names)

    def class_log_probs(self, images: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        """log p(x | y) of integer images `[B, H, W, C]` for every class: `[B, K]`, nats."""

        def of_class(x: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
            return self._conditional.log_prob(x, condition=condition, **kwargs)

        return self.of_classes(of_class, images)

    def of_classes(
        self, function: Callable[..., tf.Tensor], images: tf.Tensor, row_shape: Sequence[int] = ()
    ) -> tf.Tensor:
        """What a function says of integer images `[B, H, W, C]` for every class: `[B, K, ...]`.

        Args:
          function: `(images, condition) -> [B, ...]`, of the model's dtype.
          images: The images.
          row_shape: Of the result without B.
        """
        images = tf.cast(check_images(images, self.event_shape, self.name), self.dtype)
        count = tf.shape(images)[0] if images.shape[0] is None else images.shape[0]

        def of_class(one: tf.Tensor) -> tf.Tensor:
            condition = tf.ensure_shape(
                tf.repeat(one[tf.newaxis], count, 0), [images.shape[0], one.shape[0]]
            )
            # Another tensor for each class, or TFP's bijectors may give another one's result.
            return function(tf.identity(images), condition)

        each = tf.eye(self.num_classes, dtype=self.dtype)
        found = tf.map_fn(of_class, each, parallel_iterations=1, fn_output_signature=self.dtype)
        found = tf.transpose(found, [1, 0, *range(2, 2 + len(row_shape))])
        return tf.ensure_shape(found, [images.shape[0], self.num_classes, *row_shape])

    def joint_log_probs(self, images: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        """log p(x, y) = log p(y) + log p(x | y) for every class: `[B, K]`, nats; see `class_log_probs`."""
        return self.class_log_probs(images, **kwargs) + self.log_priors

    def posterior(self, images: tf.Tensor, **kwargs: Any) -> tfd.Categorical:
        """p(y | x) of integer images `[B, H, W, C]`: a `tfd.Categorical` of batch shape `[B]`."""
        return tfd.Categorical(logits=self.joint_log_probs(images, **kwargs))

    def condition(self, classes: Any) -> tf.Tensor:
        """Classes as the conditional density takes them.

        Args:
          classes: Indices or names `[...]`; or vectors `[..., K]` of floating numbers, kept as they are.

        Returns:
          `[..., K]`, of the model's dtype; of an index that is known only in a graph and is none, NaN.

        Raises:
          UserError: If there is no such class.
        """
        if not tf.is_tensor(classes):
            classes = np.asarray(classes)
            if classes.dtype.kind in "US":
                classes = self._indices(classes)
        given = tf.convert_to_tensor(classes)
        if given.dtype.is_floating:
            if given.shape.rank == 0 or given.shape[-1] != self.num_classes:
                raise UserError(
                    f"{self.name}: `condition` must be classes, or vectors [..., {self.num_classes}], got "
                    f"{given.dtype.name} {given.shape}."
                )
            return tf.cast(given, self.dtype)
        if not given.dtype.is_integer:
            raise UserError(f"{self.name}: `condition` must be classes, got {given.dtype.name}.")
        known = tf.get_static_value(given)
        if known is not None and np.any((known < 0) | (known >= self.num_classes)):
            raise UserError(f"{self.name}: its classes are 0..{self.num_classes - 1}, got {known.tolist()}.")
        given = tf.cast(given, tf.int32)
        is_class = ((given >= 0) & (given < self.num_classes))[..., tf.newaxis]
        return tf.where(is_class, tf.one_hot(given, self.num_classes, dtype=self.dtype), np.nan)

    def _indices(self, names: np.ndarray) -> np.ndarray:
        numbers = {name: number for number, name in enumerate(self._class_names)}
        for name in names.reshape(-1).tolist():
            if name not in numbers:
                raise UserError(f"{self.name}: there is no class {name!r}: {', '.join(self._class_names)}.")
        return np.array([numbers[name] for name in names.reshape(-1).tolist()]).reshape(names.shape)

    def _log_prob_of_images(self, images: tf.Tensor, condition: Any = None, **kwargs: Any) -> tf.Tensor:
        if condition is None:
            return tf.reduce_logsumexp(self.joint_log_probs(images, **kwargs), axis=-1)
        count = tf.shape(images)[0] if images.shape[0] is None else images.shape[0]
        given = self.condition(condition)
        if given.shape.rank is not None and given.shape.rank > 2:
            raise UserError(f"{self.name}: `condition` must be of one batch axis, got {given.shape}.")
        if given.shape.rank == 1:
            given = tf.repeat(given[tf.newaxis], count, 0)
        return self._conditional.log_prob(images, condition=given, **kwargs)

    def _call_sample_n(self, sample_shape: Any, seed: SeedLike, condition: Any = None, **kwargs: Any) -> Any:
        shape = tf.reshape(tf.cast(tf.convert_to_tensor(sample_shape), tf.int32), [-1])
        static = tf.get_static_value(shape)
        n = tf.reduce_prod(shape) if static is None else int(np.prod(static))
        of_classes, of_images = Seed.of(seed).split(2)
        if condition is None:
            given = self.condition(self._drawn_classes(n, of_classes))
        else:
            given = self.condition(condition)
            self._check_broadcasts(given.shape[:-1], static)
            given = tf.broadcast_to(given, tf.concat([shape, [self.num_classes]], 0))
            given = tf.reshape(given, [-1 if static is None else n, self.num_classes])
        pair = tf.cast(of_images.pair, tf.int32)
        images = self._conditional.sample(n, seed=pair, condition=given, **kwargs)
        return tf.reshape(images, tf.concat([shape, self.event_shape.as_list()], 0))

    def _check_broadcasts(self, front: tf.TensorShape, sample_shape: npt.NDArray | None) -> None:
        """Refuses classes that are not one, or one each, along the axes of the samples."""
        if sample_shape is None or not front.is_fully_defined():
            return
        own, target = front.as_list(), sample_shape.tolist()
        sizes = zip(own[::-1], target[::-1], strict=False)
        if len(own) > len(target) or any(size not in (1, other) for size, other in sizes):
            raise UserError(
                f"{self.name}: `condition` holds {own} classes, which do not broadcast to samples {target}."
            )

    def _drawn_classes(self, n: int | tf.Tensor, seed: SeedLike) -> tf.Tensor:
        """n classes from p(y), by its quantile function."""
        below = tf.constant(np.cumsum(self._probs)[:-1], self.dtype)
        u = noise.uniform([n], seed, self.dtype)
        return tf.reduce_sum(tf.cast(u[:, tf.newaxis] >= below, tf.int32), axis=-1)
