"""Runs cases of a target, and tells how each ended, how long it took and how much memory."""

import collections
import dataclasses
import pathlib
import time
import traceback

import hypothesis
from hypothesis import HealthCheck, Phase

from tfp_flows.checks.errors import UserError

MOST_SECONDS = 30.0  # of a case, on a busy machine
MOST_BYTES = 2**29  # that a case takes beside what there was


class Target:
    """Something that takes what strangers give.

    Attributes:
      name: Of the target.
      cases: Strategy of inputs.
    """

    def __init__(self, name, cases, use):
        """`use(case)` is what is tried."""
        self.name, self.cases, self.use = name, cases, use


@dataclasses.dataclass
class Outcome:
    """How the cases of a target ended."""

    name: str
    values: int = 0
    refused: int = 0
    others: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    examples: dict = dataclasses.field(default_factory=dict)
    slowest: float = 0.0
    most_bytes: int = 0

    @property
    def cases(self):
        return self.values + self.refused + sum(self.others.values())

    def faults(self):
        """Lines that say what did not end as it must, with an example of each."""
        lines = [
            f"{self.name}: {kind} ({n} of them), as for {self.examples[kind]}"
            for kind, n in self.others.items()
        ]
        if self.slowest > MOST_SECONDS:
            lines.append(f"{self.name}: a case took {self.slowest:.1f} s: {self.examples['slow']}")
        if self.most_bytes > MOST_BYTES:
            lines.append(f"{self.name}: a case took {self.most_bytes:,} bytes: {self.examples['large']}")
        return lines


def run(target, count, seed=0, last=None):
    """Tries `count` cases, the same for one `seed`; each is written to the file `last` before."""
    outcome = Outcome(target.name)

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(target.cases)
    def each(case):
        if last is not None:
            pathlib.Path(last).write_text(f"{target.name}\n{case!r}\n", encoding="utf-8", errors="replace")
        _try(target, case, outcome)

    each()
    return outcome


def _try(target, case, outcome):
    before = _reset_peak()
    start = time.perf_counter()
    try:
        target.use(case)
        outcome.values += 1
    except UserError as error:
        problem = _of_message(str(error))
        if problem:
            _note(outcome, problem, case)
        else:
            outcome.refused += 1
    except Exception as error:
        _note(outcome, _place(error), case)
    seconds = time.perf_counter() - start
    taken = _peak() - before
    if seconds > outcome.slowest:
        outcome.slowest, outcome.examples["slow"] = seconds, _short(case)
    if taken > outcome.most_bytes:
        outcome.most_bytes, outcome.examples["large"] = taken, _short(case)


def _note(outcome, problem, case):
    outcome.others[problem] += 1
    outcome.examples.setdefault(problem, _short(case))


def _of_message(message):
    """What is wrong with the words of a `UserError`, or nothing."""
    if "\n" in message:
        return f"a message of several lines: {message!r}"
    return "" if message.strip() else "a message without words"


def _place(error):
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/tfp_flows/" in f.filename or "run_stablehlo" in f.filename] or list(frames)
    line = f"{pathlib.Path(own[-1].filename).name}:{own[-1].lineno}"
    return f"{type(error).__name__} at {line}: {' '.join(str(error).split())[:120]}"


def _short(case):
    text = repr(case)
    return text if len(text) < 300 else f"{text[:300]}..."


def _reset_peak():
    """Has the peak of this process's memory begin anew, where Linux can; returns what it takes now."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
    return _peak()


def _peak():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0
