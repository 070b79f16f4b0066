"""What a library calls its arguments, a command calls by its flags."""

import pytest
from absl import flags

from tfp_flows.commands import flags as our_flags


@pytest.fixture
def own_flags(monkeypatch):
    values = flags.FlagValues()
    flags.DEFINE_integer("steps", 3, "", flag_values=values)
    flags.DEFINE_string("run", None, "", flag_values=values)
    monkeypatch.setattr(our_flags, "FLAGS", values)


@pytest.mark.parametrize(
    "message, printed",
    [
        ("`steps` must be positive, got 0.", "--steps must be positive, got 0."),
        ("made with `steps=24`, not another `run`", "made with --steps=24, not another --run"),
        ("`images` must be of `dtype=uint8`", "`images` must be of `dtype=uint8`"),
        ("a `steps a step", "a `steps a step"),
    ],
)
def test_arguments_that_are_flags_are_printed_as_flags(own_flags, message, printed):
    assert our_flags.in_flags(message) == printed
