"""Whole numbers among the settings of every family, and of training."""

import dataclasses
import json

import numpy as np
import pytest

from tfp_flows import training
from tfp_flows.models import registry

CLASSES = {
    **{family: registry.settings(family).config_class for family in registry.every_name()},
    "training": training.TrainingConfig,
}
WHOLE = [
    (owner, field.name)
    for owner, made in CLASSES.items()
    for field in dataclasses.fields(made)
    if field.type in (int, "int")
]


@pytest.mark.parametrize(("owner", "field"), WHOLE)
def test_numbers_of_numpy_become_those_of_python_and_others_are_refused(owner, field):
    given = {"steps": 9} if owner == "training" else {}
    config = CLASSES[owner](**{**given, field: np.int64(2)})
    assert type(getattr(config, field)) is int
    assert CLASSES[owner](**{**given, field: 2.0}) == config
    json.dumps(dataclasses.asdict(config))
    for wrong in (-1, 2.5, np.float32(0.5), float("inf"), "2", True, None):
        with pytest.raises(ValueError, match=f"`{field}` must be (a positive integer|an integer of )"):
            CLASSES[owner](**{**given, field: wrong})
