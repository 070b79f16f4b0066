"""Peak memory of training, against the peers, and how time and memory grow with the size.

    python benchmarks/memory.py --json=memory.json
    python benchmarks/memory.py --quick                # one process of each peer, no growth
    python benchmarks/memory.py --smoke

Each peer trains a few steps in a process of its own; what is counted is that process's peak resident size
less its size before the first step, tracing included. Against peers it is the median of three processes, as
which thread allocates where is not the same in each. Rows with `_reversible` are those of
`GlowConfig(reversible=True)`, which keeps no activations: what still grows with the number of steps is
weights, gradients, the optimizer and the graph. Rows with `_whole` are not in parts (`numerics.parts`):
there, two threads allocate, and glibc keeps an arena for each, of which one cannot use what the other freed.
"""

import argparse
import dataclasses
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks import environment  # noqa: E402

environment.prepare()

from benchmarks import entries, peers  # noqa: E402

AGAINST = {"tfb.Glow": ("tfb_glow", "tfb_glow_xla"), "normflows": ("normflows", "normflows_channels_last")}
MODES = ("", "_whole", "_reversible", "_reversible_whole")
GROWTH = {
    "batch": [{"batch": n} for n in (16, 32, 64)],
    # At two batch sizes: the difference between them is that of the activations.
    "steps_per_level": [{"steps_per_level": n, "batch": batch} for n in (4, 8, 16) for batch in (32, 64)],
    "pixels": [{"height": n, "width": n} for n in (16, 32, 64)],
    "steps_per_level_reversible": [
        {"steps_per_level": n, "batch": batch} for n in (4, 8, 16) for batch in (32, 64)
    ],
}


def train_here(name, size, steps):
    """Trains in this process: {"bytes": peak less size before the first step, "seconds": of a step}."""
    peer = peers.make_peer(name, size)
    peer.build()
    before = _resident()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        peer.train_step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"bytes": peak - before, "seconds": statistics.median(seconds[1:])}


def _resident():
    with open("/proc/self/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def train(name, size, steps, python=None):
    """`train_here` in a process of its own."""
    size = json.dumps(dataclasses.asdict(size))
    arguments = ["--peer", name, "--size", size, "--steps", str(steps)]
    return json.loads(_output(arguments, python).splitlines()[-1])


def _output(arguments, python):
    command = [python or sys.executable, str(ROOT / "benchmarks" / "memory.py"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def median_train(name, size, steps, processes, python=None):
    """That of `train` in the middle, of so many processes, an odd number."""
    found = [train(name, size, steps, python) for _ in range(processes)]
    return sorted(found, key=lambda one: one["bytes"])[processes // 2]


def against_peers(size, steps, packages, processes, modes=MODES, torch_python=None):
    """JSON entries: our peaks against that of the leanest variant of each package."""
    all_ours = {suffix: median_train(f"tfp_flows{suffix}", size, steps, processes) for suffix in modes}
    found = []
    for against in packages:
        names = AGAINST[against]
        python = torch_python if against == "normflows" else None
        theirs = {name: median_train(name, size, steps, processes, python) for name in names}
        best = min(theirs, key=lambda name, t=theirs: t[name]["bytes"])
        found += [_peer_entry(s, ours, against, best, theirs[best], size) for s, ours in all_ours.items()]
    return found


def _peer_entry(suffix, ours, against, peer, theirs, size):
    ratio = theirs["bytes"] / ours["bytes"]
    return {
        "name": f"glow_train_memory{suffix}",
        "value": ours["bytes"] / 2**20,
        "unit": "MiB",
        "against": against,
        "peer": peer,
        "ratio": ratio,
        "ratio_of_rounds": [ratio, ratio],
        "ours": f"{ours['bytes'] / 2**20:.0f} MiB",
        "theirs": f"{theirs['bytes'] / 2**20:.0f} MiB",
        "config": dataclasses.asdict(size),
    }


def growth(size, steps):
    """Rows of time and memory along each axis."""
    rows = []
    for axis, changes in GROWTH.items():
        name = "tfp_flows_reversible" if axis.endswith("_reversible") else "tfp_flows"
        for change in changes:
            found = train(name, dataclasses.replace(size, **change), steps)
            rows.append({"axis": axis, **change, **found})
    return rows


def main(arguments=None):
    """Measures, prints, and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for the numbers")
    parser.add_argument("--quick", action="store_true", help="one process of each peer, no growth")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, TensorFlow's tfb.Glow alone")
    parser.add_argument("--torch-python", help="interpreter that has torch and normflows")
    parser.add_argument("--steps", type=int, default=6, help="training steps")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.peer:
        print(json.dumps(train_here(options.peer, peers.Size(**options.size), options.steps)))
        return
    packages = ["tfb.Glow"] if options.smoke else list(AGAINST)
    size = peers.TINY if options.smoke else peers.Size()
    modes = ("", "_reversible") if options.smoke else MODES
    processes = 1 if options.smoke or options.quick else 3
    found = against_peers(size, options.steps, packages, processes, modes, options.torch_python)
    for one in found:
        print(
            f"{one['name']:<28} {one['ours']:>10}  {one['ratio']:.2f} x {one['against']} "
            f"({one['peer']}, {one['theirs']})",
            flush=True,
        )
    rows = [] if options.smoke or options.quick else growth(size, options.steps)
    for row in rows:
        print(row, flush=True)
    entries.write(found + [_growth_entry(row, size) for row in rows], options.json)


def _growth_entry(row, size):
    changed = {k: v for k, v in row.items() if k not in ("axis", "bytes", "seconds")}
    return {
        "name": f"glow_growth_{row['axis']}",
        "value": row["seconds"],
        "unit": "s",
        "against": None,
        "ratio": None,
        "ours": f"{row['seconds']:.3f} s, {row['bytes'] / 2**20:.0f} MiB",
        "config": {**dataclasses.asdict(size), **changed},
    }


if __name__ == "__main__":
    main()
