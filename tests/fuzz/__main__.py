"""Tries many cases, and prints a table of how they ended.

python -m tests.fuzz --cases=100000
python -m tests.fuzz --cases=5000 --only=pictures --seed=1
"""

import argparse
import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.fuzz import running, shares, targets

COLUMNS = ("target", "cases", "values", "UserErrors", "others", "slowest, s", "most memory, MiB")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=2000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="targets whose names hold this text")
    options = parser.parse_args()
    faults = []
    with tempfile.TemporaryDirectory() as work:
        found = [t for t in targets.targets(work) if options.only in t.name]
        print("| " + " | ".join(COLUMNS) + " |\n" + "| --- " * len(COLUMNS) + "|")
        for target, count in zip(found, shares.of(found, options.cases), strict=True):
            last = os.path.join(
                tempfile.gettempdir(), "tests_fuzz_last_case"
            )  # stays where the process dies
            outcome = running.run(target, count, options.seed, last)
            others = sum(outcome.others.values())
            figures = (outcome.cases, outcome.values, outcome.refused, others)
            row = [target.name, *(f"{n:,}" for n in figures), f"{outcome.slowest:.2f}"]
            print("| " + " | ".join([*row, f"{outcome.most_bytes / 2**20:.0f}"]) + " |", flush=True)
            faults += outcome.faults()
    print(*faults, sep="\n")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
