"""What a library calls its arguments, a command calls by its flags."""

import pytest
from absl import flags

from tests import forked
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--images is missing; --out is missing; --model or --detector is missing"),
        (["--imges=a"], "there is no flag --imges (did you mean --images?)"),
        (["--num_shards=two"], "--num_shards=two: not a whole number"),
        (["--alpha=low"], "--alpha=low: not a number"),
        (["--trust=maybe"], "--trust=maybe: neither true nor false"),
        (["--maps_of=none"], "--maps_of=none: value should be one of <out|all>"),
        (
            ["--images=a", "--out=b", "--model=c", "--detector=d"],
            "--model and --detector cannot both be given",
        ),
    ],
)
def test_a_flag_that_cannot_be_is_one_line(arguments, said):
    result = forked.command("tfp_flows.score", *arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"error: {said}; --helpfull describes the flags.\n"
