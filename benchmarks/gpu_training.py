"""Training by the programs of benchmarks/gpu.py, with JAX alone: the loop, its curve and its state."""

import csv
import functools
import os
import sys
import time

import numpy as np

from benchmarks import stablehlo

STATE_FILE = "state.safetensors"
CURVE_FILE = "curve.csv"
COLUMNS = ("step", "bits_per_dim", "gradient_norm", "images_per_second")


def train(model, folder, arrays, size, train_steps, mode, flips=False, weight_decay=0.0):
    """Trains up to step `train_steps`, from the folder's state if there is one, and saves the state there.

    Args:
      model: The `Model` of the folder's programs.
      folder: `pathlib.Path`.
      arrays: Its arrays: `images` uint8 `[N, H, W, C]`, `order` int32 `[steps, batch]`, `learning_rates`
        float32 `[steps]`.
      size: A `gpu_programs.Size`.
      train_steps: `int`, a multiple of the steps of a call.
      mode: One of `gpu_programs.MODES`.
      flips: Whether each image of a batch is flipped, left to right, with probability 1/2.
      weight_decay: Decoupled from the optimizer, as in AdamW: each step multiplies the kernels of the
        networks by 1 - weight_decay * learning rate; those of a call all at its end.

    Returns:
      (images a second, dict of what was trained, for the JSON entry).

    Raises:
      SystemExit: If training diverges.
    """
    state = folder / STATE_FILE
    saved = stablehlo.reader.read_arrays(state if state.exists() else folder / stablehlo.reader.WEIGHTS_FILE)
    model.weights = {name: model.put(array) for name, array in saved.items()}
    model.program(f"train_step_{mode}", size.batch)  # compiled before the clock starts
    first = int(model.weights[model.signature["step"]])
    last = min(train_steps, len(arrays["order"]))
    rows = [row for row in read_curve(folder) if int(row["step"]) <= first]
    pending, started, clock = [], time.perf_counter(), time.perf_counter()
    for step in range(first + size.steps_per_call, last + 1, size.steps_per_call):
        steps = slice(step - size.steps_per_call, step)
        batches = arrays["images"][arrays["order"][steps]]
        images = {"images": model.put(flipped(batches, step) if flips else batches)}
        pending.append(model.run(f"train_step_{mode}", size.batch, images))
        if weight_decay:
            shrink(model, np.prod(1 - weight_decay * arrays["learning_rates"][steps], dtype=np.float64))
        if step % size.log_every == 0 or step == last:
            rows.append(_row(step, pending, size, clock))
            pending, clock = [], time.perf_counter()
        if step % size.save_every == 0 or step == last:
            _save(folder, model, rows)
    seconds = time.perf_counter() - started
    rate = (last - first) * size.batch / seconds if last > first else 0.0
    described = {"steps": [first, last], "mode": mode, "seconds_ours": seconds}
    described |= {"flips": flips, "weight_decay": weight_decay}
    if rows:
        described["bits_per_dim"] = float(rows[-1]["bits_per_dim"])
    return rate, described


def flipped(batches, step):
    """Images `[steps, batch, H, W, C]`, about half of them mirrored; which ones, the step alone decides."""
    chosen = np.random.default_rng(step).random(batches.shape[:2]) < 0.5
    return np.where(chosen[..., None, None, None], batches[..., ::-1, :], batches)


def shrink(model, factor):
    """Multiplies the networks' kernels on the device."""
    kernels = {name: model.weights[name] for name in model.signature["kernels"]}
    model.weights |= _multiplied()(kernels, np.float32(factor))


@functools.cache
def _multiplied():
    import jax

    return jax.jit(
        lambda arrays, factor: jax.tree.map(lambda array: array * factor, arrays), donate_argnums=0
    )


def read_curve(folder):
    """The rows of the folder's curve so far, as dicts of text."""
    path = folder / CURVE_FILE
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _row(step, pending, size, clock):
    """A row of the curve from the results of the steps since the last one."""
    results = {key: np.concatenate([result[key] for result in pending]) for key in ("bits_per_dim", "norm")}
    means = [float(np.mean(values)) for values in results.values()]
    if not np.isfinite(means).all():
        sys.exit(f"error: diverged at step {step}: {means[0]:.4g} bits/dim, gradient norm {means[1]:.4g}.")
    rate = results["norm"].size * size.batch / (time.perf_counter() - clock)
    print(f"step {step:>7,}  {means[0]:.4f} bits/dim  {rate:.1f} images/s", flush=True)
    return dict(zip(COLUMNS, (step, *means, rate), strict=True))


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
