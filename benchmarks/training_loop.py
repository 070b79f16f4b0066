"""Does training wait for anything but its own step? Data, and the loop around the step.

    python benchmarks/training_loop.py                    # the table, 7 rounds
    python benchmarks/training_loop.py --json=loop.json   # and the ratios, for a machine to read
    python benchmarks/training_loop.py --quick            # fewer rounds
    python benchmarks/training_loop.py --smoke            # tiny sizes: does it run?

For each family, timed in turns, A B A B:

  step      the compiled step on one batch that is there already, results left on the device
  data      the next batch of `data.training_batches` and no step
  loop      the next batch, the step, and its loss and gradient norm as Python floats, as `training` does it

The step is that of `tfp_flows.train`, in parts side by side (`tfp_flows.numerics.parts`).

FAMILY_training_loop is loop against step: below 1 by what the loop costs. FAMILY_input_pipeline is data
against step: how many times as fast as the step the data come.
"""

import argparse
import dataclasses
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from benchmarks import environment  # noqa: E402

environment.prepare()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks import entries  # noqa: E402
from tfp_flows import data, training  # noqa: E402
from tfp_flows.models import registry  # noqa: E402
from tfp_flows.numerics import parts  # noqa: E402

AGAINST = "training step"


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
    Size("glow", dict(levels=1, steps_per_level=1, hidden_channels=4), (8, 8, 1), 16, 64, 2),
    Size("vae", dict(architecture="small", latent_size=2), (8, 8, 1), 16, 64, 2),
    Size("pixelcnn", dict(num_resnet=1, num_hierarchies=1, num_filters=4), (8, 8, 1), 16, 64, 2),
)


def measure(size, rounds, num_parts):
    """{step, data, loop: [seconds a step, one for each round]}."""
    images = np.random.default_rng(0).integers(0, 256, [size.images, *size.image], np.uint8)
    config = training.TrainingConfig(steps=10**6, batch_size=size.batch)
    family = registry.family(size.family)
    model_config = family.config_class(**size.settings)
    model = family.build(model_config, size.image, family.training_protocol(model_config))
    family.initialize(model, tf.constant(images[:64]), tf.constant([0, 0], tf.int64))
    state = training.TrainingState(model, config)
    subject = training.subject_of_family(family, model)
    train_step = training.make_train_step(subject, state, config, parts_per_replica=num_parts)
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


def compared(size, seconds):
    """The JSON entries of a family."""
    config = {**dataclasses.asdict(size), "tensorflow": tf.__version__}
    return [
        entries.entry(f"{size.family}_{name}", seconds[what], seconds["step"], AGAINST, config, size.batch)
        for name, what in (("training_loop", "loop"), ("input_pipeline", "data"))
    ]


def main(arguments=None):
    """Measures, prints the ratios, and writes them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for the list of ratios")
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 7")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one round")
    options = parser.parse_args(arguments)
    rounds = 1 if options.smoke else 3 if options.quick else 7
    sizes = TINY if options.smoke else SIZES
    num_parts = parts.choose(0, min(size.batch for size in sizes))  # before TensorFlow starts to work
    found = []
    for size in sizes:
        found += compared(size, measure(size, rounds, num_parts))
    for one in found:
        print(entries.line(one))
    entries.write(found, options.json)


if __name__ == "__main__":
    main()
