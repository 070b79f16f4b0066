"""What training, evaluation and export need to know of a kind of model."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError


class Method(NamedTuple):
    """A function that an exported model offers beside `log_prob` and `sample`.

    Attributes:
      function: From tensors to a dict of named tensors; runs inside a graph.
      inputs: Tuple of `tf.TensorSpec`, named as the arguments.
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: tuple[tf.TensorSpec, ...]


def _sample(
    model: tfd.Distribution, n: int, seed: object, progress: bool, temperature: float = 1.0
) -> tf.Tensor:
    del progress
    warmth = {} if temperature == 1.0 else {"temperature": temperature}  # not every model knows it
    return model.sample(n, seed=seed, **warmth)


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of density model over integer images; or, of one family, over vectors.

    Attributes:
      name: As in `--family`.
      config_class: Frozen dataclass of its settings; each field is a flag of training.
      protocol_class: Frozen dataclass of how log-probabilities are estimated in an evaluation; each
        field is a flag of evaluation and has a default.
      build: `(config, image_shape, protocol) -> tfd.Distribution` over integer images `[H, W, C]`. Where the
        family's models can be given labels, a fourth argument `condition_size`, K, makes p(x | h), h `[K]`.
      initialize: `(model, images, seed) -> None`, data-dependent initialisation from a batch.
      training_log_prob: `(model, images, seed) -> [B]` in nats, with fresh noise from `seed` (as
        `numerics.Seed.of` takes it); a lower bound of the log-probability where the model has no exact one.
        Both take a `condition` `[B, ...]` besides, where the model has one.
      training_protocol: `config -> protocol`, of the model that is trained, by which validation images are
        scored too.
      model_class: What its models are instances of.
      config_of: `model -> config` with which `build` makes such a model; None where there is none.
      sample: `(model, n, seed, progress, temperature=1.0) -> [n, H, W, C]`, integers; None where all is
        drawn from codes.
      methods: `model -> {name: Method}`, what else an exported model offers.
      with_code: `code_size -> Family` of an encoder trained with such a model, whose code it is given; None
        where there is none.
      least_weights: `(config, image_shape, given) -> int`, weights that such a model has at least, `given`
        being the size of its condition: known before anything is allocated.
      noisy: Whether `log_prob` is an estimate from noise and takes a `seed`.
    """

    name: str
    config_class: type
    protocol_class: type
    build: Callable[..., tfd.Distribution]
    initialize: Callable[..., None]
    training_log_prob: Callable[..., tf.Tensor]
    training_protocol: Callable[[Any], Any]
    model_class: type
    config_of: Callable[[Any], Any]
    sample: Callable[..., tf.Tensor] | None = _sample
    methods: Callable[[Any], dict[str, Method]] = lambda model: {}
    least_weights: Callable[[Any, Any, int], int] = lambda config, image_shape, given: 0
    noisy: bool = True
    with_code: Callable[[int], "Family"] | None = None

    def protocol(self, **settings: object) -> Any:
        """An instance of `protocol_class`.

        Raises:
          UserError: If it has no setting of such a name, or no such value.
        """
        known = [field.name for field in dataclasses.fields(self.protocol_class)]
        for name in settings:
            if name not in known:
                raise UserError(
                    f"`{name}` is no setting of how a {self.name}'s log-probability is estimated; "
                    f"there are {', '.join(known) or 'none'}."
                )
        return self.protocol_class(**settings)
