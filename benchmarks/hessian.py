"""Hessian traces against the cheapest known ways: batched Hessian-vector products, and gradients.

    python benchmarks/hessian.py                      # the table, 5 rounds
    python benchmarks/hessian.py --json=hessian.json  # and the ratios, for a machine to read
    python benchmarks/hessian.py --quick              # fewer rounds
    python benchmarks/hessian.py --smoke              # tiny sizes: does it run?

The flow is a Glow for 28x28 images (two levels of eight steps). Timed in turns, A B A B:

  exact       `hessian_trace(log_prob, x)`, against d Hessian-vector products taken as one batch: the
              image tiled d times, one basis vector for each copy, reverse over reverse.
  hutchinson  `hessian_trace(log_prob, x, num_probes=16)`, against gradients of the same batch.
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

import tfp_flows  # noqa: E402
from benchmarks import entries  # noqa: E402
from tfp_flows import testing  # noqa: E402
from tfp_flows.numerics import hessian  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Size:
    """The flow and the numbers of images and probes."""

    image: tuple = (28, 28, 1)
    levels: int = 2
    steps_per_level: int = 8
    hidden: int = 64
    batches: tuple = (1, 4, 32)
    exact_batches: tuple = (1, 4)
    num_probes: int = 16


TINY = Size((4, 4, 1), 1, 1, 4, (1, 2), (1,), 4)


def make_flow(size):
    """A Glow with weights that are not at their start, where networks are zero."""
    config = tfp_flows.GlowConfig(
        levels=size.levels, steps_per_level=size.steps_per_level, hidden_channels=size.hidden
    )
    flow = tfp_flows.glow(config, size.image)
    testing.perturb(flow, scale=0.02)
    return flow


def batched_products(flow, image_shape):
    """Tr(H) of one image from d Hessian-vector products in one batch of d copies: `[B] -> [B]`."""
    size = int(np.prod(image_shape))
    basis = tf.reshape(tf.eye(size), [size, *image_shape])

    def trace_of_one(image):
        copies = tf.repeat(image[tf.newaxis], size, axis=0)
        with tf.GradientTape() as outer:
            outer.watch(copies)
            with tf.GradientTape() as inner:
                inner.watch(copies)
                log_prob = flow.log_prob(copies)
            gradient = inner.gradient(log_prob, copies)
        products = outer.gradient(gradient, copies, output_gradients=basis)
        return tf.reduce_sum(products * basis)

    return tf.function(lambda x: tf.map_fn(trace_of_one, x, parallel_iterations=1))


def gradient_of(flow):
    """The gradient of log_prob with respect to a batch."""

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            log_prob = flow.log_prob(x)
        return tape.gradient(log_prob, x)

    return tf.function(gradient)


def in_turns(functions, x, rounds):
    """{name: [seconds]} of functions of x, timed in turns after two calls of each to trace and warm up."""
    seconds = {name: [] for name in functions}
    for round_ in range(-2, rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            np.asarray(function(x))
            if round_ >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def measure(size, rounds):
    """Yields the entries, batch by batch."""
    flow = make_flow(size)
    dimensions = int(np.prod(size.image))
    exact = tf.function(lambda x: hessian.hessian_trace(flow.log_prob, x))
    hutchinson = tf.function(lambda x: hessian.hessian_trace(flow.log_prob, x, num_probes=size.num_probes))
    for batch in size.batches:
        flow_size = {key: getattr(size, key) for key in ("image", "levels", "steps_per_level", "hidden")}
        config = {**flow_size, "batch": batch, "tensorflow": tf.__version__}
        x = tf.constant(np.random.default_rng(0).uniform(size=[batch, *size.image]).astype("float32"))
        seconds = in_turns({"ours": hutchinson, "gradient": gradient_of(flow)}, x, rounds)
        gradients = [size.num_probes * taken for taken in seconds["gradient"]]
        against = f"{size.num_probes} gradients"
        yield entries.entry("hessian_hutchinson", seconds["ours"], gradients, against, config)
        if batch in size.exact_batches:
            seconds = in_turns({"ours": exact, "batched": batched_products(flow, size.image)}, x, rounds)
            against = f"{dimensions} batched products"
            yield entries.entry("hessian_exact", seconds["ours"], seconds["batched"], against, config)


def main(arguments=None):
    """Measures, prints the ratios and writes them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for the list of ratios")
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 5")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one round")
    options = parser.parse_args(arguments)
    size = TINY if options.smoke else Size()
    found = []
    for one in measure(size, 1 if options.smoke else 3 if options.quick else 5):
        found.append(one)
        print(entries.line(one), flush=True)
    entries.write(found, options.json)


if __name__ == "__main__":
    main()
