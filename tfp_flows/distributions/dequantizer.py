"""The noise between grey levels as a flow that is given the image: variational dequantisation."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flows import bijectors, networks
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError
from tfp_flows.numerics.quantization import NUM_LEVELS


class Noise(NamedTuple):
    """A draw of the noise from q.

    Attributes:
      u: `[B, H, W, C]`, in (0, 1).
      log_q: log q(u | x): `[B]`, nats; or by position, `[B, H, W, 1]`.
    """

    u: tf.Tensor
    log_q: tf.Tensor


class Dequantizer(tf.Module):
    """q(u | x): the noise u of (0, 1)^D that dequantises an image x, a flow that is given x.

        u = sigmoid(g(logit(v); x)),       v ~ Uniform(0, 1)^D
        log q(u | x) = -log|det du/dv|

    so that for any density model p of x + u

        log P(x) >= E_q[log p(x + u) - log q(u | x)]

    with equality where q is p(u | x), the noise that p itself would have given x. g is a small Glow of one
    level: at half the resolution, steps of actnorm, 1x1 convolution and an affine coupling whose network
    sees the image beside its half of the noise. It begins as the identity, hence q as uniform noise. The
    logit of v is what has a logistic distribution; all densities are computed there, as logarithms, so that
    they are finite where u is 0 or 1 in floating-point numbers.

    Noise is made of uniform noise and the image alone: the result depends on neither batch nor order where
    that of v does not.

    #### Example

    ```python
    flow = tfp_flows.glow(config, (32, 32, 3))
    model = tfp_flows.Dequantized(flow, dequantizer=tfp_flows.distributions.Dequantizer((32, 32, 3)))
    ```

    #### References

    [1]: Jonathan Ho et al. Flow++: Improving Flow-Based Generative Models with Variational Dequantization
         and Architecture Design. ICML 2019. https://arxiv.org/abs/1902.00275 (section 3.1)
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_steps: int = 4,
        hidden_channels: int = 32,
        seed: int = 0,
        reversible: bool = False,
        dtype: tf.DType = tf.float32,
        name: str = "dequantizer",
    ) -> None:
        """Creates the flow.

        Args:
          image_shape: (H, W, C), H and W even.
          num_steps: Positive `int`: steps of actnorm, 1x1 convolution and coupling.
          hidden_channels: Positive `int`, width of the networks (`networks.ConvNetwork`).
          seed: Python `int`, of their first weights.
          reversible: Whether gradients recompute what they need; see `bijectors.FusedChain`.
          dtype: Floating dtype.
          name: Python `str`.

        Raises:
          UserError: If an argument is not of this kind.
        """
        super().__init__(name=name)
        height, width, channels = (int(size) for size in image_shape)
        if height % 2 or width % 2:
            raise UserError(
                f"{name}: height and width of `image_shape` must be even, got {(height, width, channels)}."
            )
        self._image_shape = (height, width, channels)
        self._dtype = arguments.check_floating(dtype, name)
        num_steps = arguments.check_count(num_steps, "num_steps", name)
        arguments.check_count(hidden_channels, "hidden_channels", name)
        squeeze = bijectors.Squeeze(name="squeeze")
        members: list[tfb.Bijector] = [squeeze]
        for step in range(num_steps):
            members += self._step(step, hidden_channels, seed)
        members.append(tfb.Invert(squeeze, name="unsqueeze"))
        self._chain = bijectors.FusedChain(members, reversible=reversible, name="noise")
        self._num_steps = num_steps

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self._image_shape

    @property
    def dtype(self) -> tf.DType:
        """Of noise and weights."""
        return self._dtype

    def __call__(self, images: tf.Tensor, v: tf.Tensor) -> Noise:
        """A draw of q, made of uniform noise.

        Args:
          images: Integer images `[B, H, W, C]` of any dtype.
          v: Uniform noise in [0, 1), `[H, W, C]` for all of them or `[B, H, W, C]`, as `numerics.noise`
            draws it: multiples of the resolution of 1, to which half of that is added here.

        Returns:
          `Noise`, log_q being `[B]`.
        """
        start = self._logit(images, v)
        end, log_det = self._chain.inverse_and_log_det(start, **self._conditions(images))
        slopes = tf.reduce_sum(_log_slope(start) - _log_slope(end), axis=[-3, -2, -1])
        return Noise(self._within(tf.sigmoid(end)), slopes - log_det)

    def by_position(self, images: tf.Tensor, v: tf.Tensor) -> Noise:
        """As a call, log_q being the share of each pixel in it: `[B, H, W, 1]`, nats."""
        start = self._logit(images, v)
        end, log_det = bijectors.inverse_by_position(self._chain, start, **self._conditions(images))
        slopes = tf.reduce_sum(_log_slope(start) - _log_slope(end), axis=-1, keepdims=True)
        return Noise(self._within(tf.sigmoid(end)), slopes - log_det)

    def log_prob(self, u: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """log q(u | x) of noise u in (0, 1) `[B, H, W, C]`, by the inverse of g: `[B]`, nats."""
        end = tf.math.log(u) - tf.math.log1p(-u)
        start, log_det = self._chain.forward_and_log_det(end, **self._conditions(images))
        return log_det + tf.reduce_sum(_log_slope(start) - _log_slope(end), axis=[-3, -2, -1])

    def _step(self, step: int, hidden_channels: int, seed: int) -> list[tfb.Bijector]:
        """Actnorm, 1x1 convolution and coupling, all of which begin as the identity."""
        channels = 4 * self._image_shape[-1]
        conv = bijectors.InvertibleConv1x1(channels, dtype=self._dtype, name=f"step{step}_conv1x1")
        conv.weight = np.eye(channels)
        network = functools.partial(
            networks.ConvNetwork,
            hidden_channels=hidden_channels,
            condition_channels=channels,
            seed=[seed, step, 0, 2],  # none that a Glow of the same seed uses
            dtype=self._dtype,
        )
        return [
            bijectors.ActNorm(channels, dtype=self._dtype, name=f"step{step}_actnorm"),
            conv,
            bijectors.AffineCoupling(
                channels,
                network,
                scale_form="tanh",
                swap=step % 2 == 1,
                dtype=self._dtype,
                name=f"step{step}_coupling",
            ),
        ]

    def _conditions(self, images: tf.Tensor) -> dict[str, Any]:
        """For each coupling the image at half the resolution, in -1..1."""
        values = tf.cast(images, self._dtype) / (NUM_LEVELS / 2) - 1.0
        given = {"condition": tf.nn.space_to_depth(values, 2)}
        return {f"step{step}_coupling": given for step in range(self._num_steps)}

    def _logit(self, images: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
        """logit(v) for each image, v in the middle of its interval: that of 0 would not be finite."""
        v = tf.convert_to_tensor(v, self._dtype) + np.finfo(self._dtype.as_numpy_dtype).epsneg
        logit = tf.math.log(v) - tf.math.log1p(-v)
        return tf.broadcast_to(logit, tf.shape(images))

    def _within(self, u: tf.Tensor) -> tf.Tensor:
        """u, so much below 1 that x + u rounds to no other grey level."""
        largest = 1.0 - NUM_LEVELS * np.finfo(self._dtype.as_numpy_dtype).epsneg
        return tf.minimum(u, tf.constant(largest, self._dtype))


def _log_slope(logit: tf.Tensor) -> tf.Tensor:
    """log of the sigmoid's derivative at `logit`: log of the standard logistic density; -|logit| far out."""
    size = tf.abs(logit)
    return -size - 2.0 * tf.math.log1p(tf.exp(-size))
