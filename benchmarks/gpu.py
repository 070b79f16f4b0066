"""Training and scoring NVP-Glow on a GPU that has JAX and no TensorFlow, at the paper's size.

    python benchmarks/gpu.py --lower=FOLDER --data_dir=DIR        # with TensorFlow: write the programs
    python benchmarks/gpu.py --run=FOLDER --json=gpu.json         # with JAX: how fast they are
    python benchmarks/gpu.py --run=FOLDER --profile=traces        # with JAX: and where the time goes
    python benchmarks/gpu.py --run=FOLDER --train_steps=20000     # with JAX: and train
    python benchmarks/gpu.py --run=FOLDER --rounds=0 --train_steps=20000 --samples=10000    # train and judge
    python benchmarks/gpu.py --restore=FOLDER --to=runs/gpu       # with TensorFlow: as a run of tfp_flows
    python -m tfp_flows.evaluate --run=runs/gpu --datasets=svhn_cropped --data_dir=DIR
    python benchmarks/gpu.py --smoke                              # tiny sizes, everything in a row

The programs are this package's own `training.make_train_step`, with its optimizer, clipping, weight average
and counters, and `log_prob`; batches and noise are those of the same run under TensorFlow. A call of a
program takes several batches, one after another in a loop on the device (Keras's `steps_per_execution`): a
step has a thousand arrays, which take the host longer to hand over than the device to compute. Products and
convolutions come in three modes:

  float32   StableHLO's precision HIGHEST
  tf32      precision DEFAULT: TF32 on the GPUs that have it (a CPU computes in float32)
  bfloat16  the networks' products and convolutions by `--mixed_precision=bfloat16` of training; log_prob in
            the same way, which no evaluation of the package does; all else as tf32

Before anything is timed, the losses of the first call's steps must be those that TensorFlow gave when the
programs were lowered. The ceilings are measured on the same device: a large matrix product and a large copy.
A program's ratio is the rate of the coupling networks' products alone (2 operations for each multiplication,
3 times as many for a training step, whose backward pass has two products for each) to that of the large one.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from benchmarks import environment  # noqa: E402

environment.prepare()

from benchmarks import gpu_evaluation, gpu_programs, gpu_training, stablehlo  # noqa: E402
from benchmarks.gpu_programs import MODES  # noqa: E402

# Of the losses, relative: another compiler's order of sums, and what is rounded besides.
TOLERANCES = {"float32": 1e-4, "tf32": 1e-2, "bfloat16": 1e-2}
TIMED = ("train_step", "log_prob")


def run(folder, rounds, train_steps, mode, profile=None, samples=0, **of_training):
    """Checks the programs, times them and the ceilings, trains, and judges; a list of JSON entries.

    Args:
      folder: The folder of programs.
      rounds: Rounds to time; 0 to time nothing.
      train_steps: Train up to this step; 0 for none.
      mode: One of `MODES`, of training.
      profile: Folder for traces, or None.
      samples: How many samples what was trained is judged by; 0 to judge nothing.
      **of_training: `flips` and `weight_decay` of `gpu_training.train`.

    Raises:
      SystemExit: If the losses are not those of TensorFlow, `train_steps` is no multiple of the steps of a
        call, or training diverges.
    """
    model, arrays = stablehlo.read(folder)
    size = gpu_programs.Size(**model.signature["size"])
    if train_steps % size.steps_per_call:
        sys.exit(f"error: --train_steps must be a multiple of {size.steps_per_call}, the steps of a call.")
    config = {**dataclasses.asdict(size), **stablehlo.described(model)}
    config["tensorflow"] = model.signature["tensorflow"]  # that lowered them
    error = _check(model, arrays, size, mode)
    print(f"{len(arrays['losses'])} losses as TensorFlow's to {error:.1e}, on {config['kind']}", flush=True)
    found = _timings(model, arrays, size, rounds, profile) if rounds else []
    if train_steps:
        rate, trained = gpu_training.train(
            model, pathlib.Path(folder), arrays, size, train_steps, mode, **of_training
        )
        if rounds:
            trained["log_prob_errors"] = _errors(model, arrays, size)
        found.append(_entry("gpu_training", rate, "images/s", **trained))
        print(_line(found[-1]), flush=True)
    if samples:
        judged = gpu_evaluation.evaluate(model, pathlib.Path(folder), arrays, size, samples)
        bits_per_dim = next(iter(judged["bits_per_dim"].values()))[0]
        found.append(_entry("gpu_evaluation", bits_per_dim, "bits/dim", **judged))
        print(json.dumps(judged, indent=2), flush=True)
    return [{**entry, "config": config} for entry in found]


def _timings(model, arrays, size, rounds, profile):
    """The entries of the ceilings and of the programs."""
    names = [f"{what}_{mode}" for what in TIMED for mode in MODES]
    names = [name for name in names if name in model.functions]
    compiled = {name: _compile_seconds(model, name, size) for name in names}
    products = {name: _product_rate(size.product, name, rounds) for name in MODES}
    found = [_entry(f"gpu_product_{name}", rate / 1e12, "TFLOP/s") for name, rate in products.items()]
    found.append(_entry("gpu_copy", _copy_rate(size.copy_mib, rounds) / 1e9, "GB/s"))
    print("\n".join(map(_line, found)), flush=True)
    images = {"images": model.put(arrays["images"][arrays["order"][: size.steps_per_call]])}
    for name in names:
        entry = _time(model, name, size, images, rounds, products)
        found.append({**entry, "compile_seconds": compiled[name]})
        print(_line(found[-1]), flush=True)
        if profile:
            _trace(model, name, size, images, pathlib.Path(profile) / name)
    return found


def _entry(name, value, unit, against=None, ratio=None, **others):
    found = {"name": name, "value": value, "unit": unit, "against": against, "ratio": ratio}
    return {**found, "seconds_ours": None, "seconds_against": None, **others}


def _line(entry):
    ratio = f"{entry['ratio']:6.3f} x {entry['against']}" if entry["against"] else ""
    return f"{entry['name']:<24} {entry['value']:10.2f} {entry['unit']:<9} {ratio}"


def _compile_seconds(model, function, size):
    start = time.perf_counter()
    model.program(function, size.batch)
    return time.perf_counter() - start


def _check(model, arrays, size, mode):
    """The largest relative error of the first losses, against those of TensorFlow in float32."""
    images = {"images": model.put(arrays["images"][arrays["order"][: size.steps_per_call]])}
    losses = stablehlo.on_host(model.run(f"train_step_{mode}", size.batch, images))["bits_per_dim"]
    error = float(np.max(np.abs(losses / arrays["losses"] - 1)))
    if not error < TOLERANCES[mode]:
        sys.exit(f"error: the losses {losses.tolist()} are not TensorFlow's {arrays['losses'].tolist()}.")
    return error


def _time(model, function, size, images, rounds, products):
    """Images/s of a program, where a round is as many calls as training makes before it waits for one."""
    calls = size.log_every // size.steps_per_call
    stablehlo.on_host(model.run(function, size.batch, images))
    seconds = stablehlo.seconds(lambda: model.run(function, size.batch, images), rounds, calls)
    seconds = [one / size.steps_per_call for one in seconds]
    median, mode = statistics.median(seconds), function.rsplit("_", 1)[1]
    flops = model.signature["log_prob_flops"] * (3 if function.startswith("train_step") else 1)
    return _entry(
        f"gpu_{function}",
        size.batch / median,
        "images/s",
        against=f"{mode} product",
        ratio=flops / median / products[mode],
        seconds_ours=median,
        seconds_against=flops / products[mode],
        seconds_of_rounds=[min(seconds), max(seconds)],
        temporary_mib=model.program(function, size.batch)[0].temporary_bytes() / 2**20,
    )


def _trace(model, function, size, images, folder):
    """Writes what the device does in one call, for TensorBoard's profiler."""
    import jax

    with jax.profiler.trace(str(folder)):
        stablehlo.on_host(model.run(function, size.batch, images))


def _errors(model, arrays, size):
    """{mode: how far an image's log_prob is at most from that in float32, in bits per dimension}."""
    images = arrays["images"][arrays["order"][: size.steps_per_call]]
    given, nats_per_bit = {"images": model.put(images)}, np.log(2) * np.prod(images.shape[2:])
    modes = [mode for mode in MODES if f"log_prob_{mode}" in model.functions]
    found = {mode: stablehlo.on_host(model.run(f"log_prob_{mode}", size.batch, given)) for mode in modes}
    bits = {mode: result["log_prob"] / nats_per_bit for mode, result in found.items()}
    return {mode: float(np.max(np.abs(bits[mode] - bits["float32"]))) for mode in modes[1:]}


def _product_rate(size, mode, rounds):
    """FLOP/s of a square matrix product."""
    import jax
    import jax.numpy as jnp

    precision = "default" if mode == "tf32" else "highest"
    # Random numbers: a card is faster, by a tenth, on numbers that are all alike.
    dtype = jnp.bfloat16 if mode == "bfloat16" else jnp.float32
    matrix = jax.random.normal(jax.random.key(0), [size, size], dtype)
    # One entry of each row comes back, so that the product is not what the transfer takes.
    product = jax.jit(lambda a: {"row": jnp.matmul(a, a, precision=precision).max(axis=1)})
    stablehlo.on_host(product(matrix))
    return 2 * size**3 / statistics.median(stablehlo.seconds(lambda: product(matrix), rounds))


def _copy_rate(mib, rounds):
    """Bytes/s, read and written, of a copy."""
    import jax
    import jax.numpy as jnp

    array = jnp.zeros([mib * 2**18], jnp.float32)
    copy = jax.jit(lambda a: a + 1)
    copy(array).block_until_ready()
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        copy(array).block_until_ready()
        found.append(time.perf_counter() - start)
    return 2 * array.nbytes / statistics.median(found)


def main(arguments=None):
    """Lowers, runs, restores, or everything at a tiny size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lower", metavar="FOLDER", help="write the programs")
    parser.add_argument("--data_dir", help="with --lower: folder of data sets in TFDS layout")
    parser.add_argument("--steps", type=int, help="with --lower: length of the learning rate's schedule")
    parser.add_argument("--scale", default="sigmoid", help="with --lower: of couplings and factor-outs")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="with --lower")
    parser.add_argument("--sets", nargs="*", default=(), help="with --lower: sets to judge by, e.g. noise")
    parser.add_argument("--run", metavar="FOLDER", help="run those programs")
    parser.add_argument("--train_steps", type=int, default=0, help="with --run: train up to this step")
    parser.add_argument("--mode", choices=MODES, default="float32", help="with --run: of training")
    parser.add_argument("--flips", action="store_true", help="with --run: mirror half of the images")
    parser.add_argument("--weight_decay", type=float, default=0.0, help="with --run: as AdamW's, of kernels")
    parser.add_argument(
        "--samples", type=int, default=0, help="with --run: judge what was trained by so many"
    )
    parser.add_argument("--restore", metavar="FOLDER", help="make what was trained a run of tfp_flows")
    parser.add_argument("--to", metavar="RUN", help="with --restore: folder of the run")
    parser.add_argument("--json", help="with --run: file for the numbers")
    parser.add_argument("--profile", metavar="FOLDER", help="with --run: folder for traces of each program")
    parser.add_argument("--rounds", type=int, default=20, help="with --run: rounds to time; 0: none")
    parser.add_argument("--quick", action="store_true", help="with --run: 5 rounds")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes; alone, everything in a row")
    options = parser.parse_args(arguments)
    if bool(options.restore) != bool(options.to):
        parser.error("--restore and --to go together")
    size = gpu_programs.TINY if options.smoke else gpu_programs.Size()
    size = dataclasses.replace(size, steps=options.steps or size.steps, scale=options.scale)
    if size.steps % size.steps_per_call:
        parser.error(f"--steps must be a multiple of {size.steps_per_call}, the steps of a call")
    with tempfile.TemporaryDirectory() as temporary:
        everything = not (options.lower or options.run or options.restore)
        if everything and not options.smoke:
            parser.error("give --lower, --run, --restore or --smoke")
        folder = pathlib.Path(temporary) / "programs"
        if options.lower or everything:
            gpu_programs.lower(options.lower or folder, size, options.data_dir, options.modes, options.sets)
        if options.run or everything:
            steps, rounds = (size.steps, 1) if everything else (options.train_steps, options.rounds)
            rounds = min(rounds, 5) if options.quick else rounds
            of_training = dict(flips=options.flips, weight_decay=options.weight_decay)
            given = options.run or folder, rounds, steps, options.mode, options.profile, options.samples
            found = run(*given, **of_training)
            if options.json:
                pathlib.Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        if options.restore or everything:
            to = options.to or str(pathlib.Path(temporary) / "run")
            gpu_programs.restore(options.restore or folder, to)


if __name__ == "__main__":
    main()
