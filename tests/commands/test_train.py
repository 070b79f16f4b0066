"""What `train` decides where flags leave it open."""

import types

import pytest

from tfp_flows import train
from tfp_flows.commands import flags


class Flags(dict):
    """absl's flags, as far as they are asked here."""

    def __init__(self, given):
        defaults = {"steps": 2000, "early_stopping": 0, "validate_every": 1000}
        flags = {k: types.SimpleNamespace(value=v, present=int(k in given)) for k, v in defaults.items()}
        super().__init__(flags)


@pytest.mark.parametrize(
    "given, expected",
    [
        ((), (3, 100)),
        (("steps",), (0, 1000)),
        (("early_stopping",), (0, 1000)),
        (("validate_every",), (0, 1000)),
    ],
)
def test_without_a_word_it_trains_as_long_as_it_helps(monkeypatch, given, expected):
    monkeypatch.setattr(train, "FLAGS", Flags(given))
    train._choose_end(None)
    assert tuple(train.FLAGS[name].value for name in ("early_stopping", "validate_every")) == expected


@pytest.mark.parametrize(
    "given, expected",
    [
        ((), (2, 50)),
        (("steps",), (2, 50)),
        (("early_stopping",), (0, 50)),
        (("validate_every",), (2, 1000)),
    ],
)
def test_a_run_that_is_there_ends_as_it_began_but_for_flags_that_say_another(monkeypatch, given, expected):
    found = Flags(given)
    for module in (train, flags):
        monkeypatch.setattr(module, "FLAGS", found)
    train._choose_end({"early_stopping": 2, "validate_every": 50})
    assert tuple(found[name].value for name in ("early_stopping", "validate_every")) == expected
    train._choose_end({})  # of a run that is too old to know them
