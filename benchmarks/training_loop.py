"""Does training wait for anything but its own step? Data, and the loop around the step.

    python benchmarks/training_loop.py                    # the table, 7 rounds
    python benchmarks/training_loop.py --json=loop.json   # and the ratios, for a machine to read
    python benchmarks/training_loop.py --quick            # fewer rounds
    python benchmarks/training_loop.py --smoke            # tiny sizes: does it run?

For each family, timed in turns, A B A B:

  step      the compiled step on one batch that is there already, results left on the device
  data      the next batch of `data.training_batches` and no step
  loop      the next batch, the step, and its loss and gradient norm as Python floats, as `training` does it

FAMILY_training_loop is loop against step: below 1 by what the loop costs. FAMILY_input_pipeline is data
against step: how many times as fast as the step the data come.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from tfp_flows import data, families, training  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Size:
    """A family's settings, its images, and how much is timed."""

    family: str
    settings: dict
    image: tuple
    batch: int = 32
    images: int = 20000
    steps: int = 10


SIZES = (
    Size("glow", dict(levels=3, steps_per_level=8, hidden_channels=128), (32, 32, 3)),
    Size("vae", dict(), (28, 28, 1), batch=64, steps=40),
    Size("pixelcnn", dict(num_resnet=2, num_hierarchies=2, num_filters=32), (28, 28, 1), steps=5),
)
TINY = (
    Size("glow", dict(levels=1, steps_per_level=1, hidden_channels=4), (8, 8, 1), 4, 64, 2),
    Size("vae", dict(architecture="small", latent_size=2), (8, 8, 1), 4, 64, 2),
    Size("pixelcnn", dict(num_resnet=1, num_hierarchies=1, num_filters=4), (8, 8, 1), 4, 64, 2),
)


def measure(size, rounds):
    """{step, data, loop: [seconds a step, one for each round]}."""
    images = np.random.default_rng(0).integers(0, 256, [size.images, *size.image], np.uint8)
    config = training.TrainingConfig(steps=10**6, batch_size=size.batch)
    family = families.family(size.family)
    model_config = family.config_class(**size.settings)
    model = family.build(model_config, size.image, family.training_protocol(model_config))
    family.initialize(model, tf.constant(images[:64]), tf.constant([0, 0], tf.int64))
    train_step = training.make_train_step(family, training.TrainingState(model, config), config, size.image)
    batches = iter(data.training_batches(images, size.batch, seed=0))
    fixed = next(batches)
    operations = {
        "step": lambda: train_step(fixed),
        "data": lambda: next(batches),
        "loop": lambda: [float(value) for value in train_step(next(batches))],
    }
    seconds = {name: [] for name in operations}
    for timed in range(rounds + 1):
        for name, operation in operations.items():
            start = time.perf_counter()
            for _ in range(size.steps):
                result = operation()
            tf.nest.map_structure(np.asarray, result)  # a step may still be running
            if timed:
                seconds[name].append((time.perf_counter() - start) / size.steps)
    return seconds


def entries(size, seconds):
    """The JSON entries of a family."""
    config = {**dataclasses.asdict(size), "tensorflow": tf.__version__}
    return [
        _entry(f"{size.family}_training_loop", seconds["loop"], seconds["step"], size.batch, config),
        _entry(f"{size.family}_input_pipeline", seconds["data"], seconds["step"], size.batch, config),
    ]


def _entry(name, ours, against, batch, config):
    rounds = sorted(b / a for a, b in zip(ours, against, strict=True))
    ours, against = statistics.median(ours), statistics.median(against)
    return {
        "name": name,
        "value": batch / ours,
        "unit": "images/s",
        "against": "training step",
        "ratio": against / ours,
        "ratio_of_rounds": [rounds[0], rounds[-1]],
        "seconds_ours": ours,
        "seconds_against": against,
        "config": config,
    }


def main(arguments=None):
    """Measures, prints the ratios, and writes them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for the list of ratios")
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 7")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one round")
    options = parser.parse_args(arguments)
    rounds = 1 if options.smoke else 3 if options.quick else 7
    found = []
    for size in TINY if options.smoke else SIZES:
        found += entries(size, measure(size, rounds))
    for entry in found:
        low, high = entry["ratio_of_rounds"]
        print(
            f"{entry['name']:<24} {entry['value']:10.0f} {entry['unit']} {entry['ratio']:8.2f} x "
            f"{entry['against']} ({low:.2f}-{high:.2f} by round)"
        )
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
