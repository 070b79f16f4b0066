"""What `train` decides where flags leave it open."""

import types

import pytest

from tfp_flows import train


class Flags(dict):
    """absl's flags, as far as they are asked here."""

    def __init__(self, given):
        names = ("steps", "early_stopping", "validate_every")
        super().__init__({name: types.SimpleNamespace(present=int(name in given)) for name in names})
        self.early_stopping, self.validate_every = 0, 1000


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
    train._choose_end()
    assert (train.FLAGS.early_stopping, train.FLAGS.validate_every) == expected
