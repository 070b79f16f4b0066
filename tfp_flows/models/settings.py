"""The settings of a family, which commands know before TensorFlow is imported."""

from typing import NamedTuple

CONDITIONS = ("none", "label", "autoencoder", "lowres")


class Settings(NamedTuple):
    """The dataclasses of a family's settings; each family's `config.py` holds one as SETTINGS.

    Attributes:
      config_class: Frozen dataclass of what determines a model; each field is a flag of training.
      protocol_class: Frozen dataclass of how log-probabilities are estimated in an evaluation; each field is
        a flag of evaluation and has a default.
      conditions: Those of `CONDITIONS` besides "none" that its models can be given.
    """

    config_class: type
    protocol_class: type
    conditions: tuple[str, ...] = ()
