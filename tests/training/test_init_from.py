"""A run that began from another."""

import shutil

from tests import forked

TINY = ("--dataset=digits", "--levels=1", "--steps_per_level=1", "--hidden_channels=4", "--batch_size=8")
QUIET = ("--nopictures", "--detector=none", "--evaluate_on=", "--noprogress")


def test_it_goes_on_when_the_other_is_gone(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    other = forked.command("tfp_flows.train", f"--run={first}", *TINY, *QUIET, "--steps=1")
    assert other.returncode == 0, other.stderr
    command = ("tfp_flows.train", f"--run={second}", f"--init_from={first}", *TINY, *QUIET)
    assert forked.command(*command, "--steps=1").returncode == 0
    shutil.rmtree(first)
    result = forked.command(*command, "--steps=2")
    assert result.returncode == 0 and "Trained to step 2" in result.stdout, result.stderr
    refused = forked.command(command[0], f"--run={tmp_path / 'third'}", *command[2:], "--steps=1")
    assert refused.returncode == 1 and refused.stderr.startswith(f"error: --init_from: no run in {first}")
