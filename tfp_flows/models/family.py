"""What training, evaluation and export need to know of a kind of model."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple


class Method(NamedTuple):
    """A function that an exported model offers beside `log_prob` and `sample`.

    Attributes:
      function: From tensors to a dict of named tensors; runs inside a graph.
      inputs: Tuple of `tf.TensorSpec`, named as the arguments.
    """

    function: Callable
    inputs: tuple


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of density model over integer images.

    Attributes:
      name: As in `--family`.
      config_class: Frozen dataclass of its settings; each field is a flag of training.
      protocol_class: Frozen dataclass of how log-probabilities are estimated in an evaluation; each
        field is a flag of evaluation and has a default.
      build: `(config, image_shape, protocol) -> tfd.Distribution` over integer images `[H, W, C]`.
      initialize: `(model, images, seed) -> None`, data-dependent initialisation from a batch.
      training_log_prob: `(model, images, seed) -> [B]` in nats, with fresh noise from `seed` (as
        `numerics.Seed.of` takes it); a lower bound of the log-probability where the model has no exact one.
      training_protocol: `config -> protocol`, of the model that is trained, by which validation images are
        scored too.
      sample: `(model, n, seed, progress) -> [n, H, W, C]`, integers.
      methods: `model -> {name: Method}`, what else an exported model offers.
      noisy: Whether `log_prob` is an estimate from noise and takes a `seed`.
    """

    name: str
    config_class: type
    protocol_class: type
    build: Callable
    initialize: Callable
    training_log_prob: Callable
    training_protocol: Callable
    sample: Callable = lambda model, n, seed, progress: model.sample(n, seed=seed)
    methods: Callable = lambda model: {}
    noisy: bool = True
