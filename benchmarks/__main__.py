"""Runs every benchmark and writes benchmarks/RESULTS.md.

    python -m benchmarks                                 # about 25 minutes on 2 cores
    python -m benchmarks --quick                         # fewer rounds
    python -m benchmarks --from_json glow.json hessian.json   # only write the page
    python -m benchmarks --out=benchmarks/RESULTS_AVX2.md     # another page, for another machine

Peers need `pip install -e ".[bench]"`, or --torch-python of an environment that has them.
"""

import argparse
import json
import pathlib
import platform
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = (
    *("glow.py", "memory.py", "training_loop.py", "hessian.py", "hessian_gpu.py", "pixelcnn.py"),
    "detectors.py",
)
WITH_TORCH = ("glow.py", "memory.py")
# Widest first; TensorFlow turns oneDNN on by itself from AVX-512 VNNI on.
VECTORS = {"amx_tile": "AMX", "avx512_vnni": "AVX-512 VNNI", "avx512f": "AVX-512", "avx2": "AVX2"}
INTRODUCTION = """# Measured

Written by `python -m benchmarks`. Times are medians of interleaved rounds in one run (A B A B, after a
warm-up); a ratio is that of the medians, above 1 where ours is faster, and in brackets the lowest and the
highest of the single rounds. Compare ratios, not times: those of another machine differ. The Glow's peers
have processes of their own, with their libraries' threads, all of TensorFlow with oneDNN; ours is in parts
side by side, the floor both.

Machine: {machine}.
"""
GPU = """## On a GPU

Wherever there is JAX, through its PJRT client and without TensorFlow, `benchmarks/hessian_gpu.py` runs the
compiled Hessian trace, and `benchmarks/gpu.py` the training step and `log_prob` of NVP-Glow at the paper's
size, against the card's own ceilings: [RESULTS_GPU.md](RESULTS_GPU.md).
"""


def machine():
    """The processor, its cores and vector instructions, as far as they are known."""
    name = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line.split(":", 1)[1].strip()
            for line in cpuinfo.read_text().splitlines()
            if line.startswith("model name")
        ]
        name = f"{models[0]}, {len(models)} cores{_vector_instructions(cpuinfo)}" if models else name
    return f"{name}, {platform.system()}, Python {platform.python_version()}"


def _vector_instructions(cpuinfo):
    """The widest of an x86 processor's, which decide how fast its convolutions are; or nothing."""
    flags = set(cpuinfo.read_text().split())
    widest = [name for flag, name in VECTORS.items() if flag in flags]
    return f", {widest[0]}" if widest else ""


def markdown(groups):
    """The page: a table for each script's entries."""
    parts = [INTRODUCTION.format(machine=machine())]
    for title, entries in groups.items():
        configs = [entry["config"] for entry in entries]
        keys = dict.fromkeys(key for config in configs for key in config)
        common = {k: configs[0].get(k) for k in keys if all(c.get(k) == configs[0].get(k) for c in configs)}
        listed = ", ".join(f"{k} {v}" for k, v in common.items() if v is not None)
        parts.append(f"## {title}\n\n{listed}.\n")
        parts.append("| what | size | ours | against | theirs | ratio |\n" + "| --- " * 6 + "|")
        parts += [_row(entry, [key for key in keys if key not in common]) for entry in entries]
        parts.append("")
    return "\n".join([*parts, GPU])


def _row(entry, keys):
    size = ", ".join(f"{key} {entry['config'].get(key)}" for key in keys)
    ours = entry.get("ours") or f"{entry.get('seconds_ours', entry['value']):.4g} s"
    if entry["against"] is None:
        return f"| {entry['name']} | {size} | {ours} | | | |"
    peer = entry["against"]
    if entry.get("peer") not in (None, peer):
        peer = f"{peer} ({entry['peer']})"
    theirs = entry.get("theirs") or f"{entry['seconds_against']:.4g} s"
    low, high = entry["ratio_of_rounds"]
    spread = f" [{low:.2f}, {high:.2f}]" if low < high else ""
    return f"| {entry['name']} | {size} | {ours} | {peer} | {theirs} | {entry['ratio']:.2f}{spread} |"


def main():
    """Runs the scripts and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--torch-python", help="interpreter that has torch and normflows")
    parser.add_argument("--from_json", nargs="+", help="files of an earlier run")
    parser.add_argument("--out", default=str(HERE / "RESULTS.md"), help="the page")
    options = parser.parse_args()
    files = [pathlib.Path(name) for name in options.from_json or ()]
    scripts = () if files else SCRIPTS
    with tempfile.TemporaryDirectory() as folder:
        for script in scripts:
            found = pathlib.Path(folder) / f"{script}.json"
            command = [sys.executable, str(HERE / script), f"--json={found}"]
            command += ["--quick"] if options.quick else []
            if script in WITH_TORCH and options.torch_python:
                command += ["--torch-python", options.torch_python]
            subprocess.run(command, check=True)
            files.append(found)
        groups = {file.name.split(".")[0]: json.loads(file.read_text(encoding="utf-8")) for file in files}
    pathlib.Path(options.out).write_text(markdown(groups), encoding="utf-8")
    print(f"Written to {options.out}")


if __name__ == "__main__":
    main()
