"""A flow over dequantised images as a density model over integer ones."""

import math
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError
from tfp_flows.checks.images import check_images
from tfp_flows.distributions import in_parts
from tfp_flows.distributions import temperature as temperature_of
from tfp_flows.distributions.bounds import BOUNDS
from tfp_flows.distributions.image_distribution import ImageDistribution
from tfp_flows.distributions.log_prob_map import shares_of_flow
from tfp_flows.distributions.protocols import ChangeOfVariables
from tfp_flows.distributions.terms import LogProbTerms, dequantization_term, terms_of_flow
from tfp_flows.numerics import SeedLike, noise, positions, quantization


class Dequantized(ImageDistribution):
    """A density model over integer images, made of a flow over dequantised ones.

        log P(x) >= E_u[log p_Y((x + u) / 256)] - D ln 256,        u ~ Uniform[0, 1)^D

    estimated from S draws of u: their mean (`bound="mean"`, a lower bound in expectation), or their
    log-mean-exp (`bound="importance"`, tighter with S, and exact as S grows). The event is
    `[H, W, C]`, of dtype float32 (or the flow's) holding integers, as `tfd.PixelCNN` has it;
    `log_prob` is in nats. The noise `[S, H, W, C]` comes from `seed` and is shared across the batch, so
    that a result depends neither on the batch nor on its order. `.flow` is the continuous
    distribution.

    #### Example

    ```python
    model = tfp_flows.Dequantized(tfp_flows.glow(tfp_flows.GlowConfig(), (32, 32, 3)))
    model.log_prob(images)             # uint8 [B, 32, 32, 3] -> [B], nats
    model.log_prob(images, seed=7)     # with other noise
    ```

    Further keyword arguments of `log_prob` and `sample` go to the flow as its `bijector_kwargs`: for a flow
    with a condition, `model.log_prob(images, condition=h)` and `model.sample([5, 8], condition=h)`.

    #### Temperature

    `model.sample(n, temperature=T)` draws the latent nearer to its prior's mean m, or further from it:

        y = bijector.forward(m + T (z - m)),        z ~ p_Z

    For a normal prior that is its standard deviation times T, for any other its scale. Where the volume is
    constant (additive couplings) y has the density p(y)^(1 / T^2) / Z; else that is what it is near to. 0.7
    gives cleaner images of less variety [3, section 6]; 0 the one of m.

    #### References

    [1]: Lucas Theis, Aaron van den Oord and Matthias Bethge. A note on the evaluation of generative
         models. ICLR 2016. https://arxiv.org/abs/1511.01844 (section 3.1)
    [2]: Jonathan Ho et al. Flow++. ICML 2019. https://arxiv.org/abs/1902.00275 (section 3.1)
    [3]: Diederik P. Kingma and Prafulla Dhariwal. Glow: Generative Flow with Invertible 1x1
         Convolutions. NeurIPS 2018. https://arxiv.org/abs/1807.03039
    """

    def __init__(
        self,
        flow: tfd.Distribution,
        num_samples: int = 1,
        seed: int = 0,
        bound: str = "mean",
        name: str = "dequantized",
    ):
        """Creates the distribution.

        Args:
          flow: `tfd.Distribution` over `[H, W, C]` images with values in [0, 1).
          num_samples: Positive `int`, S: draws of the noise per image.
          seed: Python `int`, the noise of `log_prob` where none is given in the call.
          bound: "mean" or "importance".
          name: Python `str`.

        Raises:
          ValueError: If an argument is not of this kind.
        """
        parameters = dict(locals())
        if isinstance(num_samples, bool) or int(num_samples) != num_samples or num_samples < 1:
            raise UserError(f"{name}: `num_samples` must be a positive integer, got {num_samples!r}.")
        if bound not in BOUNDS:
            raise UserError(f"{name}: `bound` must be one of {BOUNDS}, got {bound!r}.")
        if len(flow.event_shape) != 3 or not flow.event_shape.is_fully_defined():
            raise UserError(
                f"{name}: `flow` must have events of a known shape [H, W, C], "
                f"got event_shape={flow.event_shape}."
            )
        self._flow = flow
        self._num_samples = int(num_samples)
        self._seed = seed
        self._bound = bound
        super().__init__(flow.event_shape, flow.dtype, parameters, name)

    @property
    def flow(self) -> tfd.Distribution:
        """The continuous distribution over y = (x + u) / 256."""
        return self._flow

    @property
    def num_samples(self) -> int:
        """S, draws of the noise per image."""
        return self._num_samples

    def evaluation_noise(self, seed: SeedLike = None) -> tf.Tensor:
        """The noise `[S, H, W, C]` that `log_prob` uses with this seed."""
        shape = [self._num_samples, *self.event_shape]
        return noise.uniform(shape, self._seed if seed is None else seed, self.dtype)

    def dequantized(self, images: tf.Tensor, seed: SeedLike = None) -> tf.Tensor:
        """y = (x + u) / 256 of integer images `[B, H, W, C]`, u the first draw of `evaluation_noise`.

        Raises:
          UserError: If these are no such images.
        """
        images = tf.cast(check_images(images, self.event_shape, self.name), self.dtype)
        return quantization.dequantize(images, self.evaluation_noise(seed)[0])

    def terms(self, images: tf.Tensor, seed: SeedLike = None, **conditions: Any) -> LogProbTerms:
        """The terms of log P of integer images `[B, H, W, C]`, in one pass through the flow.

            log p_Z(z) + log|det dz/dy| - D ln 256,        z = bijector.inverse(dequantized(images))

        Args:
          images: Integer images of any dtype.
          seed: Of the noise; None for the model's own.
          **conditions: Keyword arguments of the flow's bijector, such as `condition`.

        Returns:
          `LogProbTerms`, each `[B]`, in nats; they sum to the estimate of log P from the first draw of the
          noise: to `log_prob`, where there is but one.

        Raises:
          UserError: If these are no such images, or `.flow` is no change of variables.
        """
        if not isinstance(self._flow, ChangeOfVariables):
            raise UserError(
                f"{self.name}: there are no terms: {self._flow.name} is no `tfd.TransformedDistribution`."
            )
        return terms_of_flow(self._flow, self.dequantized(images, seed), **conditions)

    def log_prob_map(self, images: tf.Tensor, seed: SeedLike = None, **conditions: Any) -> tf.Tensor:
        """The share of each pixel in log P of integer images `[B, H, W, C]`: `[B, H, W]`, nats.

        It sums to `log_prob`; see `log_prob_shares`, of which it is the sum over levels.
        """
        return tf.reduce_sum(self.log_prob_shares(images, seed, **conditions), axis=-1)

    def log_prob_shares(self, images: tf.Tensor, seed: SeedLike = None, **conditions: Any) -> tf.Tensor:
        """The share of each pixel and level in log P of integer images `[B, H, W, C]`: `[B, H, W, L]`, nats.

        They sum to `log_prob`. For one draw of the noise see `log_prob_map.shares_of_flow`. Of several it is
        their mean, or, where the bound is that of importance sampling, sum_s w_s m_s with weights w_s
        proportional to P_s(x), and what is left to the log-mean-exp, spread evenly.

        Args:
          images: Integer images of any dtype.
          seed: Of the noise; None for the model's own.
          **conditions: Keyword arguments of the flow's bijector, such as `condition`.

        Raises:
          UserError: If these are no such images, or `.flow` is no change of variables.
        """
        if not isinstance(self._flow, ChangeOfVariables):
            raise UserError(
                f"{self.name}: there is no map: {self._flow.name} is no `tfd.TransformedDistribution`."
            )
        images = tf.cast(check_images(images, self.event_shape, self.name), self.dtype)
        draws = tf.unstack(self.evaluation_noise(seed))
        ys = [quantization.dequantize(images, u) for u in draws]
        found = [shares_of_flow(self._flow, y, **conditions) for y in ys]
        return found[0] if len(found) == 1 else _combined_shares(tf.stack(found), self._bound)

    def log_prob_of_draw(self, images: tf.Tensor, u: tf.Tensor, **conditions: Any) -> tf.Tensor:
        """log p_Y((x + u) / 256) - D ln 256, the estimate of log P from one draw of noise: `[B]`, nats.

        Args:
          images: Integer images `[B, H, W, C]`.
          u: Noise in [0, 1) of the model's dtype that broadcasts against them.
          **conditions: Keyword arguments of the flow's bijector, such as `condition`.
        """
        given = {"bijector_kwargs": conditions} if conditions else {}
        continuous = self._flow.log_prob(quantization.dequantize(images, u), **given)
        return continuous + dequantization_term(self.event_shape.num_elements())

    def _log_prob_of_images(self, images: tf.Tensor, seed: SeedLike = None, **conditions: Any) -> tf.Tensor:
        draws = self.evaluation_noise(seed)
        if self._num_samples == 1:
            return self.log_prob_of_draw(images, draws[0], **conditions)
        log_probs = tf.map_fn(
            lambda u: self.log_prob_of_draw(images, u, **conditions),
            draws,
            parallel_iterations=1,
            fn_output_signature=self.dtype,
        )
        return _combine(log_probs, self._bound)

    def draws(self, n: int, seed: SeedLike = None, temperature: float = 1.0) -> tf.Tensor:
        """What `sample` rounds to grey levels: samples y `[n, H, W, C]` of the flow, floating.

        One that is not finite is of a latent that the flow's inverse overflowed on; see `bounded scales` in
        docs/inverse.md. `sample` makes its pixels black.

        Args:
          n: Number of samples.
          seed: As `Seed.of` takes it.
          temperature: As in `sample`.
        """
        return in_parts.sample(self._flow, n, seed, temperature_of.checked(temperature, self.name))

    def _call_sample_n(
        self, sample_shape: Any, seed: SeedLike, temperature: float = 1.0, **conditions: Any
    ) -> tf.Tensor:
        temperature = temperature_of.checked(temperature, self.name)
        if not conditions:
            return super()._call_sample_n(sample_shape, seed, temperature=temperature)
        # The flow pairs a condition with the axes of `sample_shape`.
        if temperature == 1.0:
            values = self._flow.sample(sample_shape, seed=seed, bijector_kwargs=conditions)
        elif not isinstance(self._flow, ChangeOfVariables):
            raise UserError(f"{self.name}: `temperature` is for a flow that has a latent.")
        else:
            latent = self._flow.distribution
            z = temperature_of.tempered(latent, latent.sample(sample_shape, seed=seed), temperature)
            values = self._flow.bijector.forward(z, **conditions)
        return quantization.quantize(values)

    def _sample_n(self, n: int, seed: SeedLike = None, temperature: float = 1.0) -> tf.Tensor:
        return quantization.quantize(self.draws(n, seed, temperature))


def _combined_shares(shares: tf.Tensor, bound: str) -> tf.Tensor:
    """Those of several draws `[S, N, H, W, L]` as one `[N, H, W, L]`, which sums as `_combine` has it."""
    if bound == "mean":
        return tf.reduce_mean(shares, axis=0)
    log_probs = tf.reduce_sum(shares, axis=[-3, -2, -1])
    weights = tf.nn.softmax(log_probs, axis=0)
    rest = _combine(log_probs, bound) - tf.reduce_sum(weights * log_probs, axis=0)
    weighted = tf.reduce_sum(weights[..., tf.newaxis, tf.newaxis, tf.newaxis] * shares, axis=0)
    return positions.added(weighted, positions.evenly(rest, shares.shape[-3:-1]))


def _combine(log_probs: tf.Tensor, bound: str) -> tf.Tensor:
    """The mean or the log-mean-exp of log-probabilities `[S, N]` over the draws."""
    if bound == "mean":
        return tf.reduce_mean(log_probs, axis=0)
    return tf.reduce_logsumexp(log_probs, axis=0) - math.log(log_probs.shape[0])
