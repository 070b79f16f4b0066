"""A Glow of this package, its peers, and the floor that none can pass.

Every peer is built from one `Size`, sees the same fixed batch and answers to one interface, so
that a runner can time several of them in turns (A B A B ...) within one process:

    peer = make_peer("tfb_glow", Size())
    peer.build()              # model, optimizer, data-dependent initialisation
    peer.first_call()         # trace and compile every operation; seconds by operation
    peer.train_step()         # one step of Adamax on the mean negative log-likelihood
    peer.log_prob()           # the batch's log-likelihoods
    peer.sample()             # one batch of samples

Each operation returns one float (a mean, for a check that it is finite) and only returns once the
result is there. The peers:

  tfp_flows                This package's Glow as `tfp_flows.train` runs it: the batch in parts side by side,
                           one thread an operation (`tfp_flows.numerics.parts`).
  tfp_flows_whole          The same with TensorFlow's own threads.
  tfp_flows_reversible     As tfp_flows, trained without keeping activations (`GlowConfig.reversible`).
  tfp_flows_reversible_whole  That with TensorFlow's own threads.
  floor                    The coupling networks alone: convolutions, biases and ReLUs, each network
                           fed by the one before. TensorFlow, graph mode, NHWC, its own threads.
  floor_matmul             The same, the 1x1 convolution as one matrix product.
  floor_parts              The same as floor, in parts side by side as tfp_flows.
  floor_matmul_parts       The same as floor_matmul, in parts.
  tfb_glow                 `tfp.bijectors.Glow`, one `tf.function` per operation.
  tfb_glow_xla             The same, `jit_compile=True`.
  normflows                `normflows.MultiscaleFlow` of `GlowBlock`s (PyTorch, eager).
  normflows_channels_last  The same with its weights and images in channels-last layout.

Each peer lives in a process of its own (`Worker`), with its library's own threads: two thread pools in one
process would disturb each other, and the libraries need not be installed in one environment
(`--torch-python`). The process waits on its standard input between operations and times them itself.

    python -m benchmarks.peers             # the table, at full size
    python -m benchmarks.peers --smoke     # every peer once, at a tiny size
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import importlib
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

from benchmarks import environment

# In the order they are timed: sampling comes before training, because some peers' samples overflow
# after a few steps (see `TfbGlow`).
OPERATIONS = ("sample", "log_prob", "train_step")
LEAST_ROUNDS = 3
LEARNING_RATE = 1e-3


@dataclasses.dataclass(frozen=True)
class Size:
    """The sizes of a Glow and of the batch it is measured with."""

    height: int = 32
    width: int = 32
    channels: int = 3
    levels: int = 3
    steps_per_level: int = 8
    hidden: int = 128
    batch: int = 32


TINY = Size(height=8, width=8, channels=3, levels=2, steps_per_level=2, hidden=8, batch=16)


def level_shapes(size):
    """Returns (height, width, channels) of the tensor each level's steps work on.

    A level squeezes 2x2 pixels into channels; all levels but the last hand half of their channels
    to the prior: 16x16x12, 8x8x24, 4x4x48 for 32x32x3 and three levels.
    """
    return [
        (size.height >> level, size.width >> level, size.channels << (level + 1))
        for level in range(1, size.levels + 1)
    ]


def make_batch(size):
    """Returns one float32 batch in [0, 1), NHWC: smooth 8-bit images with dequantisation noise.

    The same for every peer, and drawn once: the noise is no part of what is timed.
    """
    rng = np.random.default_rng(0)
    rows = np.linspace(0.0, 1.0, size.height)[:, None, None]
    columns = np.linspace(0.0, 1.0, size.width)[None, :, None]
    slopes = rng.uniform(-60.0, 60.0, (2, size.batch, 1, 1, size.channels))
    levels = 128.0 + slopes[0] * rows + slopes[1] * columns
    levels += rng.normal(0.0, 8.0, (size.batch, size.height, size.width, size.channels))
    images = np.clip(levels, 0, 255).astype(np.uint8)
    noise = rng.uniform(0.0, 1.0, images.shape)
    # Rounding to float32 could lift the largest values to 1.0 exactly.
    return np.minimum((images + noise) / 256.0, np.nextafter(1.0, 0.0, dtype=np.float32)).astype(np.float32)


class Peer:
    """What a runner sees of every peer. Subclasses define `build` and the three operations."""

    def __init__(self, size):
        self.size = size

    def ready(self):
        """Does nothing: whoever answers has imported its library."""

    def build(self):
        """Makes the model and its optimizer, and initialises it on the batch."""
        raise NotImplementedError

    def first_call(self):
        """Runs each operation once and returns the seconds that took, tracing included, by operation."""
        seconds = {}
        for operation in OPERATIONS:
            start = time.perf_counter()
            getattr(self, operation)()
            seconds[operation] = time.perf_counter() - start
        return seconds

    def train_step(self):
        """Takes one training step and returns the loss."""
        raise NotImplementedError

    def log_prob(self):
        """Evaluates the batch's log-likelihoods and returns their mean."""
        raise NotImplementedError

    def sample(self):
        """Draws one batch of images and returns the mean of their pixels."""
        raise NotImplementedError


def usable_cores():
    """Returns the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# Name -> (module beside this one, class, its arguments).
TENSORFLOW_PEERS = {
    "tfp_flows": ("tensorflow_peers", "OurGlow", {}),
    "tfp_flows_whole": ("tensorflow_peers", "OurGlow", dict(in_parts=False)),
    "tfp_flows_reversible": ("tensorflow_peers", "OurGlow", dict(reversible=True)),
    "tfp_flows_reversible_whole": ("tensorflow_peers", "OurGlow", dict(reversible=True, in_parts=False)),
    "floor": ("tensorflow_peers", "Floor", {}),
    "floor_matmul": ("tensorflow_peers", "Floor", dict(matmul=True)),
    "floor_parts": ("tensorflow_peers", "Floor", dict(in_parts=True)),
    "floor_matmul_parts": ("tensorflow_peers", "Floor", dict(matmul=True, in_parts=True)),
    "tfb_glow": ("tensorflow_peers", "TfbGlow", {}),
    "tfb_glow_xla": ("tensorflow_peers", "TfbGlow", dict(jit_compile=True)),
}
TORCH_PEERS = {
    "normflows": ("torch_peers", "Normflows", {}),
    "normflows_channels_last": ("torch_peers", "Normflows", dict(channels_last=True)),
}
PEERS = {**TENSORFLOW_PEERS, **TORCH_PEERS}


def make_peer(name, size):
    """Returns the peer of that name in this process, not yet built.

    Args:
      name: One of `PEERS`.
      size: A `Size`.

    Raises:
      ValueError: If there is no peer of that name.
    """
    if name not in PEERS:
        raise ValueError(f"no peer {name!r}; there are {', '.join(PEERS)}")
    module, class_name, arguments = PEERS[name]
    return getattr(importlib.import_module(f"benchmarks.{module}"), class_name)(size, **arguments)


class Worker:
    """A peer in a process of its own.

    One line is one call: the method's name goes to the worker's standard input, and its result and the
    seconds it took come back as one line of JSON. A worker whose call fails writes its traceback and ends.

    Attributes:
      name: The peer's.
      size: A `Size`.
      first_seconds: {operation: seconds} of the first calls, once `start` was called.
    """

    def __init__(self, name, size, torch_python=None, only=None):
        """Starts the process.

        Args:
          name: Of `PEERS`.
          size: A `Size`.
          torch_python: Interpreter of an environment with PyTorch and normflows, for the peers that need
            them; by default this process's own.
          only: The operation that `start` calls, instead of all.
        """
        self.name = name
        self.size = size
        self._only = only
        python = torch_python if name in TORCH_PEERS else None
        arguments = ["--worker", name, "--size", json.dumps(dataclasses.asdict(size))]
        self._process = subprocess.Popen(
            [python or sys.executable, "-m", "benchmarks.peers", *arguments],
            cwd=pathlib.Path(__file__).resolve().parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self):
        """Builds the peer and calls every operation for the first time, or `only` one of them."""
        self.call("build")
        found, seconds = self.call(self._only or "first_call")
        self.first_seconds = {self._only: seconds} if self._only else found

    def call(self, method):
        """(result of the peer's method, seconds it took)."""
        self._process.stdin.write(method + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name}: {method} failed, see the worker's standard error")
        return json.loads(answer)

    def first_call(self):
        """Seconds of all first calls."""
        return sum(self.first_seconds.values())

    def close(self):
        """Ends the process."""
        self._process.stdin.close()  # The worker ends with its input.
        self._process.wait(timeout=30)
        self._process.stdout.close()


def serve(peer):
    """Answers a `Worker`'s calls until standard input ends."""
    # What a library prints must not mix with the answers: it goes to standard error.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        start = time.perf_counter()
        value = getattr(peer, line.strip())()
        answers.write(json.dumps([value, time.perf_counter() - start]) + "\n")
        answers.flush()


def interleave(workers, operation, repeats, warmup=1, end=math.inf):
    """Times one operation of several peers in turns and returns {name: [seconds, ...]}.

    Each turn is two calls, of which the second is timed: the first wakes threads and fills caches, as the
    call before does in a loop. Every other round goes backwards, so that none always follows the same one.
    The first `warmup` rounds are not kept. Once `time.perf_counter()` has passed `end`, no more than the
    first `LEAST_ROUNDS` begin.
    """
    seconds = {worker.name: [] for worker in workers}
    for round_ in range(warmup + repeats):
        if round_ >= warmup + LEAST_ROUNDS and time.perf_counter() > end:
            break
        for worker in workers if round_ % 2 == 0 else reversed(workers):
            worker.call(operation)
            value, elapsed = worker.call(operation)
            if not math.isfinite(value):
                raise FloatingPointError(f"{worker.name}: {operation} gave {value}")
            if round_ >= warmup:
                seconds[worker.name].append(elapsed)
    return seconds


def images_per_second(seconds, batch):
    """Returns (median, lowest, highest) images a second of a list of timings."""
    return batch / statistics.median(seconds), batch / max(seconds), batch / min(seconds)


def format_table(workers, timings):
    """Returns the table of `timings`, {operation: {name: [seconds, ...]}}, as lines of text."""
    operations = [f"{operation:>24}" for operation in timings]
    lines = [f"{'images/s':<24}{'first calls':>12}" + "".join(operations)]
    for worker in workers:
        cells = []
        for timing in timings.values():
            median, low, high = images_per_second(timing[worker.name], worker.size.batch)
            cells.append(f"{median:8.0f} ({low:.0f}-{high:.0f})".rjust(24))
        first = f"{worker.first_call():.1f} s".rjust(12)
        lines.append(f"{worker.name:<24}{first}" + "".join(cells))
    return lines


@contextlib.contextmanager
def started(workers, at_once=1):
    """Lets all import their library, and `at_once` of them make their first calls at a time; closes them."""
    try:
        for worker in workers:
            worker.call("ready")  # so that no import runs beside another's first calls
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            list(pool.map(Worker.start, workers))
        yield
    finally:
        for worker in workers:
            worker.close()


def timed(workers, repeats, end=math.inf):
    """{operation: {name: [seconds, ...]}} of peers that were started, in turns.

    Where `end`, in the time of `time.perf_counter()`, comes before `repeats` rounds of each operation are
    done, the operations have equal shares of the time until then.
    """
    found = {}
    for number, operation in enumerate(OPERATIONS):
        now = time.perf_counter()
        share = (end - now) / (len(OPERATIONS) - number)
        found[operation] = interleave(workers, operation, repeats, end=now + share)
    return found


def rounds(timings):
    """How many rounds there were of each operation, as text."""
    return ", ".join(f"{len(next(iter(timing.values())))} of {name}" for name, timing in timings.items())


def main(arguments=None):
    """Prints the table, or serves one peer to another process."""
    parser = argparse.ArgumentParser(description="Images a second of the peers and the floor.")
    parser.add_argument("--smoke", action="store_true", help="a tiny size and one repeat")
    parser.add_argument("--repeats", type=int, default=9, help="timed rounds (default: 9)")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="NAME")
    parser.add_argument("--torch-python", help="the interpreter that has torch and normflows")
    parser.add_argument("--worker", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    environment.prepare()
    if options.worker:
        serve(make_peer(options.worker, Size(**options.size)))
        return
    size, repeats = (TINY, 1) if options.smoke else (Size(), options.repeats)
    workers = [Worker(name, size, options.torch_python) for name in options.peers]
    with started(workers):
        timings = timed(workers, repeats)
    print(f"{size}; median (lowest-highest) of rounds: {rounds(timings)}")
    print("\n".join(format_table(workers, timings)))


if __name__ == "__main__":
    main()
