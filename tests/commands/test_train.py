"""What `train` decides where flags leave it open."""

import types

import pytest

from tfp_flows import train


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
