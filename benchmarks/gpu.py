"""Training and scoring NVP-Glow on a GPU that has JAX and no TensorFlow, at the paper's size.

    python benchmarks/gpu.py --lower=FOLDER --data_dir=DIR        # with TensorFlow: write the programs
    python benchmarks/gpu.py --run=FOLDER --json=gpu.json         # with JAX: how fast they are
    python benchmarks/gpu.py --run=FOLDER --profile=traces        # with JAX: and where the time goes
    python benchmarks/gpu.py --run=FOLDER --train_steps=20000     # with JAX: and train
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
import csv
import dataclasses
import functools
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from benchmarks import environment  # noqa: E402

environment.prepare()

from benchmarks import peers, stablehlo  # noqa: E402

MODES = ("float32", "tf32", "bfloat16")
TOLERANCE = 1e-4  # of the losses, relative: float32, another compiler's order of sums
STATE_FILE = "state.safetensors"
CURVE_FILE = "curve.csv"
COLUMNS = ("step", "bits_per_dim", "gradient_norm", "images_per_second")


@dataclasses.dataclass(frozen=True)
class Size:
    """The model, its training, and how large the ceilings' arrays are."""

    dataset: str = "cifar10"
    levels: int = 3
    steps_per_level: int = 8
    hidden: int = 400
    batch: int = 64
    steps_per_call: int = 10
    steps: int = 20000
    learning_rate: float = 2e-3
    save_every: int = 1000  # this and log_every: multiples of steps_per_call
    log_every: int = 50
    product: int = 8192
    copy_mib: int = 1024


TINY = Size("digits", 2, 1, 4, 8, 2, 12, 1e-3, 4, 2, 64, 1)


def lower(folder, size, data_dir):
    """Writes the programs, the state before the first step, images and the order in which they come."""
    import tensorflow as tf

    from tfp_flows import GlowConfig, checkpoint, data, training
    from tfp_flows import stablehlo as lowering

    images = data.load(size.dataset, "train", data_dir=data_dir).images
    config = training.TrainingConfig(
        steps=size.steps,
        batch_size=size.batch,
        learning_rate=size.learning_rate,
        clip_norm=20.0,
        log_every=size.log_every,
    )
    model = GlowConfig(levels=size.levels, steps_per_level=size.steps_per_level, hidden_channels=size.hidden)
    spec = checkpoint.RunSpec("glow", model, vars(config), size.dataset, images.shape[1:])
    family, state = _state(spec)
    training.initialize(family, state, config, images, spec)
    bundle = lowering.Bundle()
    variables = _variables(state)
    names = {id(variable): bundle.add_weight(variable) for variable in variables}
    batches_spec = tf.TensorSpec([size.steps_per_call, size.batch, *spec.image_shape], tf.uint8, "images")
    for mode in MODES:
        products = "bfloat16" if mode == "bfloat16" else "none"
        own = dataclasses.replace(config, mixed_precision=products)
        train_step = training.make_train_step(family, state, own, spec.image_shape)
        functions = {
            "train_step": functools.partial(_steps, train_step),
            "log_prob": functools.partial(_log_probs, state.model, products),
        }
        for name, function in functions.items():
            program = lowering.lower(function, batches_spec, variables=variables, tf32=mode != "float32")
            bundle.add(f"{name}_{mode}", size.batch, program)
    order = _order(len(images), config)
    arrays = {"images": images, "order": order}
    described = dict(run=spec.to_json(), size=dataclasses.asdict(size), step=names[id(state.step)])
    described |= dict(log_prob_flops=_network_flops(size, spec.image_shape), tensorflow=tf.__version__)
    stablehlo.write(folder, bundle, arrays, **described)
    # The weights are written: now TensorFlow's own first steps, for the other side to be checked by.
    train_step = training.make_train_step(family, state, config, spec.image_shape)
    losses = [float(train_step(tf.constant(images[rows]))[0]) for rows in order[: size.steps_per_call]]
    np.savez(pathlib.Path(folder) / "arrays.npz", losses=np.float32(losses), **arrays)


def _steps(train_step, images):
    """The results of one step after another on images `[steps, batch, ...]`."""
    import tensorflow as tf

    bits_per_dim, norm = tf.map_fn(train_step, images, fn_output_signature=(tf.float32, tf.float32))
    return {"bits_per_dim": bits_per_dim, "norm": norm}


def _log_probs(model, products, images):
    import tensorflow as tf

    from tfp_flows import precision

    with precision.reduced(precision.dtype(products)):
        return {"log_prob": tf.map_fn(model.log_prob, images, fn_output_signature=tf.float32)}


def _network_flops(size, image_shape):
    """Operations of the coupling networks' products in a batch's `log_prob`."""
    sizes = peers.Size(*image_shape, size.levels, size.steps_per_level, size.hidden, size.batch)
    products = 0
    for height, width, channels in peers.level_shapes(sizes):
        kernels = 9 * channels // 2 * size.hidden + size.hidden**2 + 9 * size.hidden * channels
        products += height * width * size.steps_per_level * kernels
    return 2 * size.batch * products


def _state(spec):
    """(family, fresh `training.TrainingState`) of a `checkpoint.RunSpec`."""
    from tfp_flows import families, training

    family = families.family(spec.family)
    model = family.build(spec.model, spec.image_shape, family.training_protocol(spec.model))
    return family, training.TrainingState(model, training.TrainingConfig(**spec.training))


def _variables(state):
    """All that a checkpoint of the state holds, in an order that makes the names of the weights."""
    counters = [state.step, state.window, state.best, state.since_best]
    return [*state.model.variables, *state.optimizer.variables(), *state.average.averages, *counters]


def _order(count, config):
    """The rows of the images that each step of a run takes: int32 `[steps, batch]`."""
    from tfp_flows import data

    numbers = np.arange(count, dtype="<u4").view(np.uint8).reshape(count, 1, 1, 4)
    batches = data.training_batches(numbers, config.batch_size, config.seed, 0, config.steps)
    rows = [np.ascontiguousarray(batch.numpy()).view("<u4") for batch in batches]
    return np.stack(rows).reshape(config.steps, config.batch_size).astype(np.int32)


def run(folder, rounds, train_steps, mode, profile=None):
    """Checks the programs, times them and the ceilings, and trains; a list of JSON entries.

    Raises:
      SystemExit: If the losses are not those of TensorFlow, or training diverges.
    """
    model, arrays = stablehlo.read(folder)
    size = Size(**model.signature["size"])
    config = {**dataclasses.asdict(size), **stablehlo.described(model)}
    config["tensorflow"] = model.signature["tensorflow"]  # that lowered them
    names = [entry["function"] for entry in model.signature["programs"]]
    compiled = {name: _compile_seconds(model, name, size) for name in names}
    error = _check(model, arrays, size)
    print(f"{len(arrays['losses'])} losses as TensorFlow's to {error:.1e}, on {config['kind']}", flush=True)
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
    if train_steps:
        found.append(_train(model, pathlib.Path(folder), arrays, size, train_steps, mode))
        print(_line(found[-1]), flush=True)
    return [{**entry, "config": config} for entry in found]


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


def _check(model, arrays, size):
    """The largest relative error of the first losses, against those of TensorFlow."""
    images = {"images": model.put(arrays["images"][arrays["order"][: size.steps_per_call]])}
    losses = stablehlo.on_host(model.run("train_step_float32", size.batch, images))["bits_per_dim"]
    error = float(np.max(np.abs(losses / arrays["losses"] - 1)))
    if not error < TOLERANCE:
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


def _train(model, folder, arrays, size, train_steps, mode):
    """Trains up to step `train_steps`, from the folder's state if there is one; its JSON entry."""
    state = folder / STATE_FILE
    saved = stablehlo.reader.read_arrays(state if state.exists() else folder / stablehlo.reader.WEIGHTS_FILE)
    model.weights = {name: model.put(array) for name, array in saved.items()}
    model.program(f"train_step_{mode}", size.batch)  # compiled before the clock starts
    first = int(model.weights[model.signature["step"]])
    last = min(train_steps, len(arrays["order"]))
    if (last - first) % size.steps_per_call:
        sys.exit(f"error: --train_steps must be a multiple of {size.steps_per_call}, the steps of a call.")
    rows = [row for row in _read_curve(folder) if int(row["step"]) <= first]
    pending, started, clock = [], time.perf_counter(), time.perf_counter()
    for step in range(first + size.steps_per_call, last + 1, size.steps_per_call):
        batches = arrays["order"][step - size.steps_per_call : step]
        images = {"images": model.put(arrays["images"][batches])}
        pending.append(model.run(f"train_step_{mode}", size.batch, images))
        if step % size.log_every == 0 or step == last:
            rows.append(_row(step, pending, size, clock))
            pending, clock = [], time.perf_counter()
        if step % size.save_every == 0 or step == last:
            _save(folder, model, rows)
    seconds = time.perf_counter() - started
    rate = (last - first) * size.batch / seconds if last > first else 0.0
    described = {"steps": [first, last], "mode": mode, "log_prob_errors": _errors(model, arrays, size)}
    described["seconds_ours"] = seconds
    if rows:
        described["bits_per_dim"] = float(rows[-1]["bits_per_dim"])
    return _entry("gpu_training", rate, "images/s", **described)


def _errors(model, arrays, size):
    """{mode: how far an image's log_prob is at most from that in float32, in bits per dimension}."""
    images = arrays["images"][arrays["order"][: size.steps_per_call]]
    given, nats_per_bit = {"images": model.put(images)}, np.log(2) * np.prod(images.shape[2:])
    found = {mode: stablehlo.on_host(model.run(f"log_prob_{mode}", size.batch, given)) for mode in MODES}
    bits = {mode: result["log_prob"] / nats_per_bit for mode, result in found.items()}
    return {mode: float(np.max(np.abs(bits[mode] - bits["float32"]))) for mode in MODES[1:]}


def _row(step, pending, size, clock):
    """A row of the curve from the results of the steps since the last one."""
    results = {key: np.concatenate([result[key] for result in pending]) for key in ("bits_per_dim", "norm")}
    means = [float(np.mean(values)) for values in results.values()]
    if not np.isfinite(means).all():
        sys.exit(f"error: diverged at step {step}: {means[0]:.4g} bits/dim, gradient norm {means[1]:.4g}.")
    rate = results["norm"].size * size.batch / (time.perf_counter() - clock)
    print(f"step {step:>7,}  {means[0]:.4f} bits/dim  {rate:.1f} images/s", flush=True)
    return dict(zip(COLUMNS, (step, *means, rate), strict=True))


def _read_curve(folder):
    path = folder / CURVE_FILE
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _save(folder, model, rows):
    """Writes the state and the curve, each as a whole or not at all."""
    from safetensors.numpy import save

    arrays = {name: np.array(value) for name, value in model.weights.items()}
    with open(folder / f"{CURVE_FILE}.tmp", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (folder / f"{STATE_FILE}.tmp").write_bytes(save(arrays))
    for name in (CURVE_FILE, STATE_FILE):
        os.replace(folder / f"{name}.tmp", folder / name)


def restore(folder, to):
    """Writes the trained state as a run of tfp_flows, its curve as the run's metrics."""
    import tensorflow as tf

    from tfp_flows import checkpoint, metrics
    from tfp_flows import stablehlo as lowering

    folder = pathlib.Path(folder)
    signature = stablehlo.reader.read_json(folder / "signature.json")
    arrays = stablehlo.reader.read_arrays(folder / STATE_FILE)
    spec = checkpoint.RunSpec.from_json(signature["run"])
    _, state = _state(spec)
    bundle = lowering.Bundle()
    for variable in _variables(state):
        variable.assign(arrays[bundle.add_weight(variable)])
    run_folder = checkpoint.Run(to)
    settings = {**spec.training, **dataclasses.asdict(spec.model), "dataset": spec.dataset, "run": to}
    lines = [f"--{key}={value}\n" for key, value in settings.items() if value not in (None, "")]
    run_folder.create(spec, "".join(lines))
    with metrics.Metrics(run_folder.metrics_file, run_folder.events, 0) as table:
        for row in _read_curve(folder):
            table.add(int(row["step"]), **{key: float(row[key]) for key in COLUMNS[1:]})
    manager = tf.train.CheckpointManager(state, run_folder.checkpoints, max_to_keep=2)
    manager.save(checkpoint_number=int(state.step))


def main(arguments=None):
    """Lowers, runs, restores, or everything at a tiny size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lower", metavar="FOLDER", help="write the programs")
    parser.add_argument("--data_dir", help="with --lower: folder of data sets in TFDS layout")
    parser.add_argument("--steps", type=int, help="with --lower: length of the learning rate's schedule")
    parser.add_argument("--run", metavar="FOLDER", help="run those programs")
    parser.add_argument("--train_steps", type=int, default=0, help="with --run: train up to this step")
    parser.add_argument("--mode", choices=MODES, default="float32", help="with --run: of training")
    parser.add_argument("--restore", metavar="FOLDER", help="make what was trained a run of tfp_flows")
    parser.add_argument("--to", metavar="RUN", help="with --restore: folder of the run")
    parser.add_argument("--json", help="with --run: file for the numbers")
    parser.add_argument("--profile", metavar="FOLDER", help="with --run: folder for traces of each program")
    parser.add_argument("--rounds", type=int, default=20, help="with --run: rounds to time")
    parser.add_argument("--quick", action="store_true", help="with --run: 5 rounds")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes; alone, everything in a row")
    options = parser.parse_args(arguments)
    if bool(options.restore) != bool(options.to):
        parser.error("--restore and --to go together")
    size = TINY if options.smoke else Size()
    size = dataclasses.replace(size, steps=options.steps or size.steps)
    with tempfile.TemporaryDirectory() as temporary:
        everything = not (options.lower or options.run or options.restore)
        if everything and not options.smoke:
            parser.error("give --lower, --run, --restore or --smoke")
        folder = pathlib.Path(temporary) / "programs"
        if options.lower or everything:
            lower(options.lower or folder, size, options.data_dir)
        if options.run or everything:
            steps, rounds = (size.steps, 1) if everything else (options.train_steps, options.rounds)
            rounds = min(rounds, 5) if options.quick else rounds
            found = run(options.run or folder, rounds, steps, options.mode, options.profile)
            if options.json:
                pathlib.Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        if options.restore or everything:
            restore(options.restore or folder, options.to or str(pathlib.Path(temporary) / "run"))


if __name__ == "__main__":
    main()
