"""How long a training step of each variant takes, measured in turns; kept in a file."""

import dataclasses
import gc
import json
import statistics
import time

import numpy as np
import tensorflow as tf

from benchmarks import fit_variants
from tfp_flows import data, runs, training
from tfp_flows.models import registry

SECONDS_A_TURN = 1.0
WARM_UP = 3  # steps, the first of which is traced


@dataclasses.dataclass(frozen=True)
class Seconds:
    """A training step's: the median of all rounds, and their lowest and highest."""

    median: float
    low: float
    high: float

    def times(self, factor):
        """All of them times a number."""
        return Seconds(self.median * factor, self.low * factor, self.high * factor)


def of_variants(file, variants, images, rounds, num_parts):
    """{name: `Seconds`} of each variant; those that the file has are as it says.

    Those that are missing are timed beside the reference. If it was timed before, on a machine that was
    faster or slower then, theirs are brought to that day's by the ratio of the two times of the reference.
    """
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    kept = {name: (one["flags"], Seconds(**one["seconds"])) for name, one in kept.items()}
    missing = {
        name: variant
        for name, variant in variants.items()
        if name not in kept or kept[name][0] != variant.flag_file
    }
    if missing:
        reference = _reference(kept, variants)
        beside = dict(missing)
        if reference in variants:
            beside.setdefault(reference, variants[reference])
        found = measured(beside, images, rounds, num_parts)
        factor = 1.0
        if reference in kept and reference in found and reference not in missing:
            factor = kept[reference][1].median / found[reference].median
        kept |= {name: (variants[name].flag_file, found[name].times(factor)) for name in missing}
        text = {name: {"flags": f, "seconds": dataclasses.asdict(s)} for name, (f, s) in kept.items()}
        file.parent.mkdir(parents=True, exist_ok=True)
        runs.write_atomically(file, json.dumps(text, indent=2) + "\n")
    return {name: kept[name][1] for name in variants}


def _reference(kept, variants):
    """The variant beside which others are timed: one that was timed before, best that of the variants."""
    both = [name for name in kept if name in variants and kept[name][0] == variants[name].flag_file]
    if fit_variants.REFERENCE in both or not both:
        return fit_variants.REFERENCE
    return both[0]


def measured(variants, images, rounds, num_parts):
    """{name: `Seconds`}: the next batch, the step, and its loss as a number, as in the loop of training."""
    steps = {name: _step(variant, images, num_parts) for name, variant in variants.items()}
    counts, seconds = {}, {name: [] for name in steps}
    for name, step in steps.items():
        for _ in range(WARM_UP):
            start = time.perf_counter()
            step()
        counts[name] = max(1, round(SECONDS_A_TURN / (time.perf_counter() - start)))
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(counts[name]):
                step()
            seconds[name].append((time.perf_counter() - start) / counts[name])
    steps.clear()
    gc.collect()
    return {name: Seconds(statistics.median(of), min(of), max(of)) for name, of in seconds.items()}


def _step(variant, images, num_parts):
    family = registry.family("glow")
    config = dataclasses.replace(variant.training, steps=10**6)
    model = family.build(variant.model, images.shape[1:], family.training_protocol(variant.model))
    first = tf.constant(np.asarray(images[:64]))
    family.initialize(model, first, tf.constant([0, 0], tf.int64))
    state = training.TrainingState(model, config)
    subject = training.subject_of_family(family, model)
    own_parts = num_parts if config.batch_size % num_parts == 0 else 1
    train_step = training.make_train_step(subject, state, config, parts_per_replica=own_parts)
    batches = iter(data.training_batches(images, config.batch_size, seed=0))
    return lambda: [float(value) for value in train_step(next(batches))]
