"""Peers in TensorFlow: the floor, `tfb.Glow`, and the Glow of this package."""

# ruff: noqa: D102  (`Peer` documents the methods its subclasses override.)

import functools
import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_flows
from benchmarks.peers import LEARNING_RATE, Peer, level_shapes, make_batch
from tfp_flows.distributions import in_parts
from tfp_flows.numerics import parts


class Floor(Peer):
    """The coupling networks' convolutions, biases and ReLUs, chained; nothing else of the flow.

    `train_step` runs them forward and takes the gradients of all weights and of each network's
    input (for the first network: of the image), without an optimizer. `log_prob` runs them
    forward, and so does `sample`, because the networks run once in that direction too. The
    factor-out networks, well under 1 % of the arithmetic, are left out.
    """

    def __init__(self, size, matmul=False, in_parts=False):
        super().__init__(size)
        self._matmul = matmul
        self._in_parts = in_parts

    def build(self):
        self._num_parts = parts.choose(0, self.size.batch) if self._in_parts else 1
        self.images = tf.constant(make_batch(self.size))
        initializer = np.random.default_rng(1)
        self.networks = [
            [self._network(channels, initializer) for _ in range(self.size.steps_per_level)]
            for _, _, channels in level_shapes(self.size)
        ]
        self._weights = tf.nest.flatten(self.networks)
        self._forward_and_backward = tf.function(self._all_gradients)
        self._forward = tf.function(
            lambda images: parts.concatenated(self._chain, images, tf.float32, [None] * 3, self._num_parts)
        )

    def _network(self, channels, rng):
        """Returns [(kernel, bias)] * 3. No layer is zero, so that none can be optimised away."""
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
        half = images
        for (_, _, channels), networks in zip(level_shapes(self.size), self.networks, strict=True):
            # `half` is what the level before keeps (or the image); squeezed, it has `channels`.
            half = tf.nn.space_to_depth(half, 2)[..., : channels // 2]
            for network in networks:
                output = self._apply(network, half)
                half = output[..., : channels // 2]
        return output

    def _all_gradients(self, images):
        """Returns the loss and every gradient: what is not returned would be pruned."""
        like = [tf.zeros([]), *self._weights, images[: self.size.batch // self._num_parts]]
        return parts.total(self._gradients, [images], self._num_parts, like)

    def _gradients(self, index, images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = 0.5 * tf.reduce_mean(tf.square(self._chain(images))) / self._num_parts
        return [loss, *tape.gradient(loss, [*self._weights, images])]

    def train_step(self):
        loss, *_ = self._forward_and_backward(self.images)
        return float(loss.numpy())

    def log_prob(self):
        return float(self._forward(self.images).numpy().mean())

    def sample(self):
        return self.log_prob()


class FlowPeer(Peer):
    """A TFP flow, each operation traced once; subclasses make and initialise the flow."""

    def __init__(self, size, jit_compile=False, in_parts=False):
        super().__init__(size)
        self._jit_compile = jit_compile
        self._in_parts = in_parts

    def _make_flow(self):
        """Returns a `tfd.TransformedDistribution` over images."""
        raise NotImplementedError

    def _initialize(self):
        """Sets the actnorms from the batch."""
        raise NotImplementedError

    def build(self):
        self._num_parts = parts.choose(0, self.size.batch) if self._in_parts else 1
        self.images = tf.constant(make_batch(self.size))
        self.flow = self._make_flow()
        self._initialize()
        self.variables = self.flow.trainable_variables
        # The legacy class: one fused update op a variable.
        self.optimizer = tf_keras.optimizers.legacy.Adamax(LEARNING_RATE)
        self.optimizer._create_all_weights(self.variables)  # No variables made while tracing.
        compiled = functools.partial(tf.function, jit_compile=self._jit_compile or None)
        self._train_step = compiled(self._step)
        self._log_prob = compiled(self._log_prob_of)
        self._sample = compiled(lambda: in_parts.sample(self.flow, self.size.batch))

    def first_call(self):
        """Leaves the parameters as `build` left them: some peers' samples overflow after a step."""
        initial = [variable.numpy() for variable in self.variables]
        seconds = super().first_call()
        for variable, value in zip(self.variables, initial, strict=True):
            variable.assign(value)
        return seconds

    def _log_prob_of(self, images):
        with tfp_flows.bijectors.steps_traced_once():  # concerns ours alone
            return in_parts.log_prob(self.flow, images, self._num_parts)

    def _loss_and_gradients(self, index, images):
        once = tfp_flows.bijectors.steps_traced_once()
        with once, tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.variables)
            loss = -tf.reduce_mean(self.flow.log_prob(images)) / self._num_parts
        return [loss, *tape.gradient(loss, self.variables)]

    def _step(self, images):
        like = [tf.zeros([]), *self.variables]
        loss, *gradients = parts.total(self._loss_and_gradients, [images], self._num_parts, like)
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

    def __init__(self, size, reversible=False, in_parts=True):
        super().__init__(size, in_parts=in_parts)
        self._reversible = reversible

    def _initialize(self):
        tfp_flows.bijectors.initialize_actnorms(self.flow.bijector, self.images)

    def _make_flow(self):
        size = self.size
        config = tfp_flows.GlowConfig(
            levels=size.levels,
            steps_per_level=size.steps_per_level,
            hidden_channels=size.hidden,
            reversible=self._reversible,
        )
        return tfp_flows.glow(config, (size.height, size.width, size.channels))
