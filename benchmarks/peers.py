"""A Glow of this package, its peers, and the floor that none can pass.

Every peer is built from one `Size`, sees the same fixed batch and answers to one interface, so
that a runner can time several of them in turns (A B A B ...) within one process:

    peer = make_peer("tfb_glow", Size())
    peer.build()              # model, optimizer, data-dependent initialisation
    peer.first_call()         # trace and compile every operation; seconds
    peer.train_step()         # one step of Adamax on the mean negative log-likelihood
    peer.log_prob()           # the batch's log-likelihoods
    peer.sample()             # one batch of samples
    peer.close()

Each operation returns one float (a mean, for a check that it is finite) and only returns once the
result is there. The peers:

  tfp_flows                This package's Glow, one `tf.function` per operation.
  tfp_flows_reversible     The same, trained without keeping activations (`GlowConfig.reversible`).
  floor                    The coupling networks alone: convolutions, biases and ReLUs, each network
                           fed by the one before. No flow of this size can be faster with the same
                           convolutions. TensorFlow, graph mode, NHWC.
  floor_matmul             The same, the 1x1 convolution as one matrix product.
  tfb_glow                 `tfp.bijectors.Glow`, one `tf.function` per operation.
  tfb_glow_xla             The same, `jit_compile=True`.
  normflows                `normflows.MultiscaleFlow` of `GlowBlock`s (PyTorch, eager).
  normflows_channels_last  The same with its weights and images in channels-last layout.

The PyTorch peers live in a process of their own, which waits on its standard input between
operations: two libraries' thread pools in one process would disturb each other, and the two need
not be installed in one environment (`--torch-python`). A call through the pipe costs about 0.1 ms.

    python -m benchmarks.peers             # the table, at full size
    python -m benchmarks.peers --smoke     # every peer once, at a tiny size
"""

# ruff: noqa: D102  (`Peer` documents the methods its subclasses override.)

import argparse
import dataclasses
import functools
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

# In the order they are timed: sampling comes before training, because some peers' samples overflow
# after a few steps (see `TfbGlow`).
OPERATIONS = ("sample", "log_prob", "train_step")
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


TINY = Size(height=8, width=8, channels=3, levels=2, steps_per_level=2, hidden=8, batch=4)


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

    def __init__(self, name, size):
        self.name = name
        self.size = size
        self.first_seconds = {}

    def build(self):
        """Makes the model and its optimizer, and initialises it on the batch."""
        raise NotImplementedError

    def first_call(self):
        """Runs each operation once and returns the seconds that took, tracing included.

        `first_seconds` keeps them by operation.
        """
        for operation in OPERATIONS:
            start = time.perf_counter()
            getattr(self, operation)()
            self.first_seconds[operation] = time.perf_counter() - start
        return sum(self.first_seconds.values())

    def train_step(self):
        """Takes one training step and returns the loss."""
        raise NotImplementedError

    def log_prob(self):
        """Evaluates the batch's log-likelihoods and returns their mean."""
        raise NotImplementedError

    def sample(self):
        """Draws one batch of images and returns the mean of their pixels."""
        raise NotImplementedError

    def close(self):
        """Frees what the peer holds."""


# ------------------------------------------------------------------------------------ TensorFlow


class Floor(Peer):
    """The coupling networks' convolutions, biases and ReLUs, chained; nothing else of the flow.

    `train_step` runs them forward and takes the gradients of all weights and of each network's
    input (for the first network: of the image), without an optimizer. `log_prob` runs them
    forward, and so does `sample`, because the networks run once in that direction too. The
    factor-out networks, well under 1 % of the arithmetic, are left out.
    """

    def __init__(self, name, size, matmul=False):
        super().__init__(name, size)
        self._matmul = matmul

    def build(self):
        import tensorflow as tf

        self.images = tf.constant(make_batch(self.size))
        initializer = np.random.default_rng(1)
        self.networks = [
            [self._network(channels, initializer) for _ in range(self.size.steps_per_level)]
            for _, _, channels in level_shapes(self.size)
        ]
        self._weights = tf.nest.flatten(self.networks)
        self._forward_and_backward = tf.function(self._gradients)
        self._forward = tf.function(self._chain)

    def _network(self, channels, rng):
        """Returns [(kernel, bias)] * 3. No layer is zero, so that none can be optimised away."""
        import tensorflow as tf

        hidden = self.size.hidden
        shapes = [
            (3, 3, channels // 2, hidden),
            (1, 1, hidden, hidden),
            (3, 3, hidden, channels),
        ]
        return [
            (
                tf.Variable(rng.normal(0.0, math.sqrt(2.0 / math.prod(shape[:3])), shape).astype("float32")),
                tf.Variable(tf.fill(shape[3:], 0.01)),
            )
            for shape in shapes
        ]

    def _apply(self, network, x):
        import tensorflow as tf

        for index, (kernel, bias) in enumerate(network):
            if self._matmul and kernel.shape[0] == 1:
                shape = tf.shape(x)
                x = tf.matmul(tf.reshape(x, [-1, kernel.shape[2]]), kernel[0, 0])
                x = tf.reshape(tf.nn.relu(tf.nn.bias_add(x, bias)), shape)
                continue
            x = tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)
            if index < len(network) - 1:
                x = tf.nn.relu(x)
        return x

    def _chain(self, images):
        """Feeds each network with the first half of the channels of the one before."""
        import tensorflow as tf

        half = images
        for (_, _, channels), networks in zip(level_shapes(self.size), self.networks, strict=True):
            # `half` is what the level before keeps (or the image); squeezed, it has `channels`.
            half = tf.nn.space_to_depth(half, 2)[..., : channels // 2]
            for network in networks:
                output = self._apply(network, half)
                half = output[..., : channels // 2]
        return output

    def _gradients(self, images):
        """Returns the loss and every gradient: what is not returned would be pruned."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = 0.5 * tf.reduce_mean(tf.square(self._chain(images)))
        return loss, tape.gradient(loss, [images, *self._weights])

    def train_step(self):
        loss, _ = self._forward_and_backward(self.images)
        return float(loss.numpy())

    def log_prob(self):
        return float(self._forward(self.images).numpy().mean())

    def sample(self):
        return self.log_prob()


class FlowPeer(Peer):
    """A TFP flow, each operation traced once; subclasses make and initialise the flow."""

    def __init__(self, name, size, jit_compile=False):
        super().__init__(name, size)
        self._jit_compile = jit_compile

    def _make_flow(self):
        """Returns a `tfd.TransformedDistribution` over images."""
        raise NotImplementedError

    def _initialize(self):
        """Sets the actnorms from the batch."""
        raise NotImplementedError

    def build(self):
        import tensorflow as tf
        import tf_keras

        # A tensor of this peer's own: TFP's bijector cache would hand one flow's results to the
        # next if both saw the same tensor.
        self.images = tf.constant(make_batch(self.size))
        self.flow = self._make_flow()
        self._initialize()
        self.variables = self.flow.trainable_variables
        # The legacy class: one fused update op a variable.
        self.optimizer = tf_keras.optimizers.legacy.Adamax(LEARNING_RATE)
        self.optimizer._create_all_weights(self.variables)  # No variables made while tracing.
        compiled = functools.partial(tf.function, jit_compile=self._jit_compile or None)
        self._train_step = compiled(self._step)
        self._log_prob = compiled(lambda images: self.flow.log_prob(images))
        self._sample = compiled(lambda: self.flow.sample(self.size.batch))

    def first_call(self):
        """Leaves the parameters as `build` left them: some peers' samples overflow after a step."""
        initial = [variable.numpy() for variable in self.variables]
        seconds = super().first_call()
        for variable, value in zip(self.variables, initial, strict=True):
            variable.assign(value)
        return seconds

    def _step(self, images):
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.variables)
            loss = -tf.reduce_mean(self.flow.log_prob(images))
        gradients = tape.gradient(loss, self.variables)
        self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
        return loss

    def train_step(self):
        return float(self._train_step(self.images).numpy())

    def log_prob(self):
        return float(self._log_prob(self.images).numpy().mean())

    def sample(self):
        return float(self._sample().numpy().mean())


class TfbGlow(FlowPeer):
    """`tfp.bijectors.Glow` as its documentation uses it.

    Its default exit multiplies by exp(2) at initialisation, so training starts far off, and at this
    learning rate the samples overflow for a while after the very first steps. Samples are therefore
    timed before training.
    """

    def _initialize(self):
        # Eagerly and before anything is sampled: the first data a fresh actnorm sees, of
        # whichever direction, fixes its shift and scale.
        self.flow.bijector.inverse(self.images)

    def _make_flow(self):
        import tensorflow_probability as tfp

        size = self.size
        bijector = tfp.bijectors.Glow(
            output_shape=(size.height, size.width, size.channels),
            num_glow_blocks=size.levels,
            num_steps_per_block=size.steps_per_level,
            coupling_bijector_fn=functools.partial(tfp.bijectors.GlowDefaultNetwork, num_hidden=size.hidden),
            exit_bijector_fn=tfp.bijectors.GlowDefaultExitNetwork,
            seed=0,
        )
        dimensions = size.height * size.width * size.channels
        base = tfp.distributions.Sample(tfp.distributions.Normal(0.0, 1.0), dimensions)
        return tfp.distributions.TransformedDistribution(base, bijector)


class OurGlow(FlowPeer):
    """`tfp_flows.glow`, the subject of the measurement."""

    def __init__(self, name, size, reversible=False):
        super().__init__(name, size)
        self._reversible = reversible

    def _initialize(self):
        import tfp_flows

        tfp_flows.bijectors.initialize_actnorms(self.flow.bijector, self.images)

    def _make_flow(self):
        import tfp_flows

        size = self.size
        config = tfp_flows.GlowConfig(
            levels=size.levels,
            steps_per_level=size.steps_per_level,
            hidden_channels=size.hidden,
            reversible=self._reversible,
        )
        return tfp_flows.glow(config, (size.height, size.width, size.channels))


# --------------------------------------------------------------------------------------- PyTorch


class Normflows(Peer):
    """The Glow of `normflows`, put together as in that package's own example.

    It has no factor-out network: each level's prior is a Gaussian with a trainable mean and scale
    per channel (`GlowBase`), which makes it a little less work than the others.
    """

    def __init__(self, name, size, channels_last=False):
        super().__init__(name, size)
        self._channels_last = channels_last

    def build(self):
        import torch

        torch.set_num_threads(usable_cores())
        torch.manual_seed(0)
        self.model = self._make_model()
        self.images = torch.from_numpy(make_batch(self.size).transpose(0, 3, 1, 2)).contiguous()
        if self._channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        self.log_prob()  # The first batch sets the actnorms.
        self.optimizer = torch.optim.Adamax(self.model.parameters(), lr=LEARNING_RATE, foreach=True)

    def _make_model(self):
        import normflows

        size = self.size
        bases, merges, flows = [], [], []
        # normflows counts from the prior, so the deepest level comes first.
        for depth, (height, width, channels) in enumerate(reversed(level_shapes(size))):
            steps = [
                normflows.flows.GlowBlock(channels, size.hidden, scale=True, split_mode="channel")
                for _ in range(size.steps_per_level)
            ]
            flows.append([*steps, normflows.flows.Squeeze()])
            if depth == 0:
                bases.append(normflows.distributions.GlowBase((channels, height, width)))
            else:
                merges.append(normflows.flows.Merge())
                bases.append(normflows.distributions.GlowBase((channels // 2, height, width)))
        return normflows.MultiscaleFlow(bases, flows, merges, class_cond=False)

    def train_step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.model.forward_kld(self.images)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def log_prob(self):
        import torch

        with torch.no_grad():
            return float(self.model.log_prob(self.images, None).mean())

    def sample(self):
        import torch

        with torch.no_grad():
            images, _ = self.model.sample(self.size.batch)
            return float(images.mean())


def usable_cores():
    """Returns the number of cores this process may use: the threads given to PyTorch."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Worker(Peer):
    """A peer in a process of its own.

    One line is one call: the method's name goes to the worker's standard input, and its result
    comes back as one line of JSON. A worker whose call fails writes its traceback and ends.
    """

    def __init__(self, name, size, python=None):
        super().__init__(name, size)
        self._python = python or sys.executable
        self._process = None

    def build(self):
        arguments = ["--worker", self.name, "--size", json.dumps(dataclasses.asdict(self.size))]
        self._process = subprocess.Popen(
            [self._python, "-m", "benchmarks.peers", *arguments],
            cwd=pathlib.Path(__file__).resolve().parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._call("build")

    def _call(self, method):
        self._process.stdin.write(method + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name}: {method} failed, see the worker's standard error")
        return json.loads(answer)

    def train_step(self):
        return self._call("train_step")

    def log_prob(self):
        return self._call("log_prob")

    def sample(self):
        return self._call("sample")

    def close(self):
        if self._process is not None:
            self._process.stdin.close()  # The worker ends with its input.
            self._process.wait(timeout=30)
            self._process.stdout.close()
            self._process = None


def serve(peer):
    """Answers a `Worker`'s calls until standard input ends."""
    # What a library prints must not mix with the answers: it goes to standard error.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        answers.write(json.dumps(getattr(peer, line.strip())()) + "\n")
        answers.flush()


# ---------------------------------------------------------------------------------------- runner

TENSORFLOW_PEERS = {
    "tfp_flows": OurGlow,
    "tfp_flows_reversible": functools.partial(OurGlow, reversible=True),
    "floor": Floor,
    "floor_matmul": functools.partial(Floor, matmul=True),
    "tfb_glow": TfbGlow,
    "tfb_glow_xla": functools.partial(TfbGlow, jit_compile=True),
}
TORCH_PEERS = {
    "normflows": Normflows,
    "normflows_channels_last": functools.partial(Normflows, channels_last=True),
}
PLAIN = {**TENSORFLOW_PEERS, **TORCH_PEERS}  # in this process
PEERS = tuple(PLAIN)


def make_peer(name, size, torch_python=None):
    """Returns the peer of that name, not yet built.

    Args:
      name: One of `PEERS`.
      size: A `Size`.
      torch_python: The interpreter of an environment with PyTorch and normflows; by default this
        process's own.
    """
    if name in TORCH_PEERS:
        return Worker(name, size, torch_python)
    if name in TENSORFLOW_PEERS:
        return TENSORFLOW_PEERS[name](name, size)
    raise ValueError(f"no peer {name!r}; there are {', '.join(PEERS)}")


def interleave(peers, operation, repeats, warmup=1):
    """Times one operation of several peers in turns and returns {name: [seconds, ...]}.

    Every other round goes backwards, so that none always follows the same one. The first `warmup`
    rounds are not kept.
    """
    seconds = {peer.name: [] for peer in peers}
    for round_ in range(warmup + repeats):
        for peer in peers if round_ % 2 == 0 else reversed(peers):
            start = time.perf_counter()
            value = getattr(peer, operation)()
            elapsed = time.perf_counter() - start
            if not math.isfinite(value):
                raise FloatingPointError(f"{peer.name}: {operation} gave {value}")
            if round_ >= warmup:
                seconds[peer.name].append(elapsed)
    return seconds


def images_per_second(seconds, batch):
    """Returns (median, lowest, highest) images a second of a list of timings."""
    return batch / statistics.median(seconds), batch / max(seconds), batch / min(seconds)


def format_table(peers, timings):
    """Returns the table of `timings`, {operation: {name: [seconds, ...]}}, as lines of text."""
    operations = [f"{operation:>24}" for operation in timings]
    lines = [f"{'images/s':<24}{'first calls':>12}" + "".join(operations)]
    for peer in peers:
        cells = []
        for timing in timings.values():
            median, low, high = images_per_second(timing[peer.name], peer.size.batch)
            cells.append(f"{median:8.0f} ({low:.0f}-{high:.0f})".rjust(24))
        first = f"{sum(peer.first_seconds.values()):.1f} s".rjust(12)
        lines.append(f"{peer.name:<24}{first}" + "".join(cells))
    return lines


def run(names, size, repeats, operations=OPERATIONS, torch_python=None):
    """Builds the peers named, times them in turns and returns (peers, timings); closes them."""
    peers = [make_peer(name, size, torch_python) for name in names]
    try:
        for peer in peers:
            peer.build()
            peer.first_call()
        return peers, {operation: interleave(peers, operation, repeats) for operation in operations}
    finally:
        for peer in peers:
            peer.close()


def main(arguments=None):
    """Prints the table, or serves one PyTorch peer to another process."""
    parser = argparse.ArgumentParser(description="Images a second of the peers and the floor.")
    parser.add_argument("--smoke", action="store_true", help="a tiny size and one repeat")
    parser.add_argument("--repeats", type=int, default=9, help="timed rounds (default: 9)")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS, metavar="NAME")
    parser.add_argument("--torch-python", help="the interpreter that has torch and normflows")
    parser.add_argument("--worker", choices=TORCH_PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        serve(TORCH_PEERS[options.worker](options.worker, Size(**options.size)))
        return
    size, repeats = (TINY, 1) if options.smoke else (Size(), options.repeats)
    peers, timings = run(options.peers, size, repeats, torch_python=options.torch_python)
    print(f"{size}; median (lowest-highest) of {repeats} rounds")
    print("\n".join(format_table(peers, timings)))


if __name__ == "__main__":
    main()
