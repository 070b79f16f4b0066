"""Glow against its peers and the floor: training step, log_prob, sample, first call.

    python benchmarks/glow.py                      # the table, 9 rounds
    python benchmarks/glow.py --json=glow.json     # and the ratios, for a machine to read
    python benchmarks/glow.py --quick              # fewer rounds, within 5 minutes
    python benchmarks/glow.py --smoke              # tiny sizes: does it run?

All operations are timed in turns, A B A B, in one process (PyTorch in a worker of its own); a ratio is
that of the medians, above 1 where ours is faster. Peers whose packages are not installed are left out:
`pip install -e ".[bench]"` brings them.
"""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import peers  # noqa: E402

# What each entry is measured against -> the peers that stand for it; the fastest counts.
AGAINST = {
    "floor": ("floor", "floor_matmul"),
    "tfb.Glow": ("tfb_glow", "tfb_glow_xla"),
    "normflows": ("normflows", "normflows_channels_last"),
}
TORCH_PACKAGES = ("torch", "normflows")
PACKAGES = ("tensorflow", "tensorflow-probability", *TORCH_PACKAGES)


def entries(built, timings, versions):
    """The JSON entries: each operation, and the first call, against the floor and each package."""
    by_name = {peer.name: peer for peer in built}
    result = []
    for against, names in AGAINST.items():
        present = [name for name in names if name in by_name]
        if not present:
            continue
        for operation, seconds in timings.items():
            if operation == "sample" and against == "floor":
                continue  # its sample is its log_prob
            best = min(present, key=lambda name, s=seconds: statistics.median(s[name]))
            entry = _entry(f"glow_{operation}", seconds["tfp_flows"], seconds[best], against)
            batch = by_name["tfp_flows"].size.batch
            entry.update(value=batch / entry["seconds_ours"], unit="images/s", peer=best)
            result.append(entry)
        if against != "floor":
            best = min(present, key=lambda name: sum(by_name[name].first_seconds.values()))
            ours, theirs = ([sum(by_name[name].first_seconds.values())] for name in ("tfp_flows", best))
            entry = _entry("glow_first_call", ours, theirs, against)
            result.append({**entry, "value": ours[0], "unit": "s", "peer": best})
    config = {**dataclasses.asdict(built[0].size), "cores": peers.usable_cores(), **versions}
    return [{**entry, "config": config} for entry in result]


def _entry(name, ours, theirs, against):
    rounds = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    return {
        "name": name,
        "against": against,
        "ratio": theirs / ours,
        "ratio_of_rounds": [rounds[0], rounds[-1]],
        "seconds_ours": ours,
        "seconds_against": theirs,
    }


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


def _names(torch_python):
    """The peers that can be built here."""
    here = all(importlib.util.find_spec(package) for package in ("torch", "normflows"))
    torch = list(peers.TORCH_PEERS) if here or torch_python else []
    return [*peers.TENSORFLOW_PEERS, *torch]


def main(arguments=None):
    """Measures, prints the table and the ratios, and writes them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for the list of ratios")
    parser.add_argument("--quick", action="store_true", help="5 rounds instead of 9")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds to time (9)")
    parser.add_argument("--torch-python", help="interpreter that has torch and normflows")
    parser.add_argument("--peers", nargs="+", choices=peers.PEERS, help="only these")
    options = parser.parse_args(arguments)
    rounds = 1 if options.smoke else 5 if options.quick else options.rounds
    size = peers.TINY if options.smoke else peers.Size()
    names = options.peers or _names(options.torch_python)
    names = ["tfp_flows", *(name for name in names if name != "tfp_flows")]
    built, timings = peers.run(names, size, rounds, torch_python=options.torch_python)
    print(f"{size}; median (lowest-highest) of {rounds} rounds")
    print("\n".join(peers.format_table(built, timings)))
    found = entries(built, timings, _versions(options.torch_python))
    for entry in found:
        low, high = entry["ratio_of_rounds"]
        print(
            f"{entry['name']:<18} {entry['value']:9.1f} {entry['unit']:<9} {entry['ratio']:6.2f} x "
            f"{entry['against']} ({low:.2f}-{high:.2f} by round)"
        )
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
