"""Glow against its peers and the floor: training step, log_prob, sample, first call.

    python benchmarks/glow.py                      # the table, 9 rounds
    python benchmarks/glow.py --json=glow.json     # and the ratios, for a machine to read
    python benchmarks/glow.py --quick              # in 4 minutes: what the ratios need, started side by side
    python benchmarks/glow.py --smoke              # tiny sizes: does it run?

All operations are timed in turns, A B A B, each peer in a process of its own; a ratio is that of the
medians, above 1 where ours is faster, against the fastest variant of each peer. Peers whose packages are
not installed are left out: `pip install -e ".[bench]"` brings them. --quick makes as many rounds as its time
allows, at least 3: the ratios of few rounds on a busy machine are rough.
"""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from benchmarks import environment  # noqa: E402

environment.prepare()

from benchmarks import entries, peers  # noqa: E402

# What each entry is measured against -> the peers that stand for it; the fastest counts.
AGAINST = {
    "floor": ("floor", "floor_matmul", "floor_parts", "floor_matmul_parts"),
    "tfb.Glow": ("tfb_glow", "tfb_glow_xla"),
    "normflows": ("normflows", "normflows_channels_last"),
}
OURS = "tfp_flows"
SLOWER_FLOORS = ("floor", "floor_matmul")  # those in parts are faster wherever they were measured
QUICK_SECONDS = 220  # for all but the rounds that are made in any case
QUICK_FIRST_CALL = "log_prob"  # of the deep flows: all operations would take minutes
TORCH_PACKAGES = ("torch", "normflows")
PACKAGES = ("tensorflow", "tensorflow-probability", *TORCH_PACKAGES)


def compared(workers, timings, versions):
    """The JSON entries: each operation, and the first call, against the floor and each package."""
    by_name = {worker.name: worker for worker in workers}
    size = by_name[OURS].size
    config = {**dataclasses.asdict(size), "first_call_of": "all", "cores": peers.usable_cores(), **versions}
    found = []
    for against, names in AGAINST.items():
        present = [name for name in names if name in by_name]
        if not present:
            continue
        for operation, seconds in timings.items():
            if operation == "sample" and against == "floor":
                continue  # its sample is its log_prob
            best = min(present, key=lambda name, s=seconds: statistics.median(s[name]))
            ours, theirs = seconds[OURS], seconds[best]
            one = entries.entry(f"glow_{operation}", ours, theirs, against, config, size.batch)
            found.append({**one, "peer": best})
        if against != "floor":
            best = min(present, key=lambda name: by_name[name].first_call())
            found.append(_first_calls(by_name[OURS], by_name[best], against, config))
    return found


def _first_calls(ours, theirs, against, config):
    seconds = ([worker.first_call()] for worker in (ours, theirs))
    return {**entries.entry("glow_first_call", *seconds, against, config), "peer": theirs.name}


def deep_workers(size, only=None):
    """Our Glow and `tfb.Glow` in graph mode, four times as deep, for their first calls alone."""
    size = dataclasses.replace(size, steps_per_level=4 * size.steps_per_level)
    return [peers.Worker(name, size, only=only) for name in (OURS, "tfb_glow")]


def _versions(torch_python):
    """{package: version} here, or in the environment of `torch_python`; None where it is not there."""
    versions = {package: _version(package) for package in PACKAGES}
    if torch_python:
        code = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
        command = [torch_python, "-c", code, *TORCH_PACKAGES]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        versions.update(zip(TORCH_PACKAGES, found, strict=True))
    return versions


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _names(torch_python, quick):
    """The peers that can be built here: all, or those that a ratio is taken against."""
    here = all(importlib.util.find_spec(package) for package in TORCH_PACKAGES)
    torch = list(peers.TORCH_PEERS) if here or torch_python else []
    names = [*peers.TENSORFLOW_PEERS, *torch]
    if not quick:
        return names
    return [name for name in names if name in sum(AGAINST.values(), ()) and name not in SLOWER_FLOORS]


def _measured(names, size, rounds, quick, torch_python):
    """(workers, timings, deep workers), in their first calls side by side or alone."""
    end = time.perf_counter() + QUICK_SECONDS
    workers = [peers.Worker(name, size, torch_python) for name in names]
    in_depth = "tfb_glow" in names
    if quick:  # a process on each core: tracing and compiling take one
        deep = deep_workers(size, QUICK_FIRST_CALL) if in_depth else []
        with peers.started([*deep[::-1], *workers[::-1]], peers.usable_cores()):
            return workers, peers.timed(workers, rounds, end), deep
    with peers.started(workers):
        timings = peers.timed(workers, rounds)
    deep = deep_workers(size) if in_depth else []
    with peers.started(deep):
        return workers, timings, deep


def main(arguments=None):
    """Measures, prints the table and the ratios, and writes them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for the list of ratios")
    parser.add_argument(
        "--quick", action="store_true", help="within 5 minutes: the ratios' peers, started side by side"
    )
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds to time (9)")
    parser.add_argument("--torch-python", help="interpreter that has torch and normflows")
    parser.add_argument("--peers", nargs="+", choices=peers.PEERS, help="only these")
    options = parser.parse_args(arguments)
    rounds = 1 if options.smoke else options.rounds
    size = peers.TINY if options.smoke else peers.Size()
    names = options.peers or _names(options.torch_python, options.quick)
    names = [OURS, *(name for name in names if name != OURS)]
    workers, timings, deep = _measured(names, size, rounds, options.quick, options.torch_python)
    print(f"{size}; median (lowest-highest) of rounds: {peers.rounds(timings)}")
    print("\n".join(peers.format_table(workers, timings)))
    found = compared(workers, timings, _versions(options.torch_python))
    if deep:
        of_deep = {"steps_per_level": deep[0].size.steps_per_level}
        of_deep["first_call_of"] = QUICK_FIRST_CALL if options.quick else "all"
        found.append(_first_calls(*deep, "tfb.Glow", {**found[0]["config"], **of_deep}))
    for one in found:
        print(entries.line(one))
    entries.write(found, options.json)


if __name__ == "__main__":
    main()
