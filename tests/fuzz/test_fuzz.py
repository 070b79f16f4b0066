"""Two thousand cases of what strangers might give; `python -m tests.fuzz --cases=100000` tries more."""

import numpy as np
import pytest

from tests.fuzz import running, shares, targets
from tfp_flows.checks.errors import UserError

CASES = 2000  # in all


def test_every_case_ends_in_a_value_or_a_user_error(tmp_path):
    found = targets.targets(tmp_path)
    faults, total = [], 0
    for target, count in zip(found, shares.of(found, CASES), strict=True):
        outcome = running.run(target, count)
        faults += outcome.faults()
        total += outcome.cases
    assert not faults, "\n".join(faults)
    assert total > 0.9 * CASES


def test_the_harness_finds_what_it_is_for():
    """A traceback, a message of several lines, one without words, and what takes too much memory."""

    def use(case):
        if case == 0:
            raise KeyError("a fault")
        if case == 1:
            raise UserError("two\nlines")
        if case == 2:
            raise UserError("")
        if case == 3:
            np.ones(running.MOST_BYTES + 2**24, np.uint8)
        if case == 4:
            raise UserError("in one line")

    outcome = running.run(running.Target("harness", targets.st.integers(0, 5), use), 200)
    faults = "\n".join(outcome.faults())
    for text in ("KeyError", "several lines", "without words", "a case took"):
        assert text in faults
    assert outcome.refused > 0 and outcome.values > 0 and len(outcome.faults()) == 4


@pytest.mark.parametrize("cases", [100, 2000])
def test_every_target_has_its_share(tmp_path, cases):
    found = targets.targets(tmp_path)
    counts = shares.of(found, cases)
    assert min(counts) >= 1 and abs(sum(counts) - cases) < 0.1 * cases + len(found)
