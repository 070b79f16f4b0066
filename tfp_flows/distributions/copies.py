"""What a copy of a model with weights of its own may change."""

from collections.abc import Collection, Mapping
from typing import Any

from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError


def check_overrides(
    model: tfd.Distribution,
    overrides: Mapping[str, Any],
    of_networks: Collection[str],
    networks: Collection[str],
) -> None:
    """Refuses to copy a model with arguments that its networks, which a copy shares, were not made with.

    Args:
      model: `tfd.Distribution`.
      overrides: The arguments of `copy`.
      of_networks: Names of the arguments of the constructor that the networks follow from.
      networks: Names of the arguments that networks are given by. Where all of them are, anything goes.

    Raises:
      UserError: If there is such an argument.
    """
    if overrides.keys() >= set(networks):
        return
    for argument in of_networks:
        if argument in overrides and overrides[argument] != model.parameters[argument]:
            raise UserError(
                f"{model.name}: a copy has the weights of the model, whose `{argument}` is "
                f"{model.parameters[argument]!r}, not {overrides[argument]!r}; make a new "
                f"{type(model).__name__} instead."
            )
