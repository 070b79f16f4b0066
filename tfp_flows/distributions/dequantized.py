"""A flow over dequantised images as a density model over integer ones."""

import math
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError
from tfp_flows.checks.images import check_images
from tfp_flows.distributions import in_parts
from tfp_flows.distributions import temperature as temperature_of
from tfp_flows.distributions.bounds import BOUNDS
from tfp_flows.distributions.dequantizer import Dequantizer
from tfp_flows.distributions.image_distribution import ImageDistribution
from tfp_flows.distributions.log_prob_map import shares_of_flow
from tfp_flows.distributions.protocols import ChangeOfVariables
from tfp_flows.distributions.terms import LogProbTerms, dequantization_term, terms_of_flow
from tfp_flows.numerics import SeedLike, noise, positions, quantization


class Draw(NamedTuple):
    """Dequantised images, from one draw of the noise.

    Attributes:
      y: (x + u) / 256, `[B, H, W, C]`.
      log_q: log q(u | x), `[B]` or `[]`, nats; 0 where u is uniform.
    """

    y: tf.Tensor
    log_q: tf.Tensor


class Estimate(NamedTuple):
    """An estimate of log P from several draws of the noise.

    Attributes:
      log_prob: `[B]`, nats.
      standard_error: `[B]`, nats: of the mean over draws; of a log-mean-exp by the delta method, which says
        too little where one draw outweighs all others.
    """

    log_prob: tf.Tensor
    standard_error: tf.Tensor


class Dequantized(ImageDistribution):
    """A density model over integer images, made of a flow over dequantised ones.

        log P(x) >= E_u[log p_Y((x + u) / 256) - log q(u | x)] - D ln 256

    estimated from S draws of u: their mean (`bound="mean"`, a lower bound in expectation), or their
    log-mean-exp (`bound="importance"`, tighter with S, and exact as S grows). The noise u is uniform in
    [0, 1)^D, and log q = 0; or, with a `dequantizer`, drawn from a flow that is given the image, and the
    bound is tighter [2].

    The event is `[H, W, C]`, of dtype float32 (or the flow's) holding integers, as `tfd.PixelCNN` has it;
    `log_prob` is in nats. The noise `[S, H, W, C]` comes from `seed` and is shared across the batch (a
    dequantiser turns it into that of each image), so that a result depends neither on the batch nor on its
    order. `.flow` is the continuous distribution.

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

    For a normal prior that is its standard deviation times T, for any other its scale. Where the prior is
    normal and the volume constant (additive couplings) y has the density p(y)^(1 / T^2) / Z. 0.7 gives
    cleaner images of less variety [3, section 6]; 0 the one of m.

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
        dequantizer: Dequantizer | None = None,
        name: str = "dequantized",
    ):
        """Creates the distribution.

        Args:
          flow: `tfd.Distribution` over `[H, W, C]` images with values in [0, 1).
          num_samples: Positive `int`, S: draws of the noise per image.
          seed: Python `int`, the noise of `log_prob` where none is given in the call.
          bound: "mean" or "importance".
          dequantizer: `Dequantizer`, q(u | x), whose weights are trained with the flow's; None for uniform
            noise.
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
        if flow.batch_shape.rank:
            raise UserError(
                f"{name}: `flow` must be one distribution, of batch shape [], got {flow.batch_shape}."
            )
        if dequantizer is not None and (
            dequantizer.image_shape != tuple(flow.event_shape) or dequantizer.dtype != flow.dtype
        ):
            raise UserError(
                f"{name}: `dequantizer` is for images {dequantizer.image_shape} of "
                f"{dequantizer.dtype.name}, the flow for {tuple(flow.event_shape)} of {flow.dtype.name}."
            )
        self._flow = flow
        self._dequantizer = dequantizer
        self._num_samples = int(num_samples)
        self._seed = seed
        self._bound = bound
        super().__init__(flow.event_shape, flow.dtype, parameters, name)

    @property
    def flow(self) -> tfd.Distribution:
        """The continuous distribution over y = (x + u) / 256."""
        return self._flow

    @property
    def dequantizer(self) -> Dequantizer | None:
        """q(u | x), of the noise; None where it is uniform."""
        return self._dequantizer

    @property
    def num_samples(self) -> int:
        """S, draws of the noise per image."""
        return self._num_samples

    def evaluation_noise(self, seed: SeedLike = None) -> tf.Tensor:
        """The uniform noise `[S, H, W, C]` that `log_prob` uses with this seed; see `draw`."""
        shape = [self._num_samples, *self.event_shape]
        return noise.uniform(shape, self._seed if seed is None else seed, self.dtype)

    def draw(self, images: tf.Tensor, noise: tf.Tensor) -> Draw:
        """Dequantised images, and how likely their noise is.

        Args:
          images: Integer images `[B, H, W, C]`.
          noise: Uniform noise of the model's dtype, one of `evaluation_noise`, or `[B, H, W, C]`: it is u
            itself, or what the dequantiser makes u of.
        """
        if self._dequantizer is None:
            return Draw(quantization.dequantize(images, noise), tf.zeros([], self.dtype))
        u, log_q = self._dequantizer(images, noise)
        return Draw(quantization.dequantize(images, u), log_q)

    def dequantized(self, images: tf.Tensor, seed: SeedLike = None) -> tf.Tensor:
        """y = (x + u) / 256 of integer images `[B, H, W, C]`, u from the first draw of `evaluation_noise`.

        Raises:
          UserError: If these are no such images.
        """
        return self.draw(self._checked(images), self.evaluation_noise(seed)[0]).y

    def terms(self, images: tf.Tensor, seed: SeedLike = None, **conditions: Any) -> LogProbTerms:
        """The terms of log P of integer images `[B, H, W, C]`, in one pass through the flow.

            log p_Z(z) + log|det dz/dy| - D ln 256 - log q(u | x),    z = bijector.inverse(y)

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
        y, log_q = self.draw(self._checked(images), self.evaluation_noise(seed)[0])
        terms = terms_of_flow(self._flow, y, **conditions)
        return terms._replace(dequantization=terms.dequantization - log_q)

    def estimate(self, images: tf.Tensor, seed: SeedLike = None, **conditions: Any) -> Estimate:
        """`log_prob` of integer images `[B, H, W, C]` with its standard error, from two draws or more.

        Args:
          images: Integer images of any dtype.
          seed: Of the noise; None for the model's own.
          **conditions: Keyword arguments of the flow's bijector, such as `condition`.

        Raises:
          UserError: If these are no such images, or `num_samples` is 1.
        """
        if self._num_samples == 1:
            raise UserError(f"{self.name}: one draw has no standard error; make `num_samples` 2 or more.")
        log_probs = self._log_probs_of_draws(self._checked(images), seed, conditions)
        return Estimate(_combine(log_probs, self._bound), _standard_error(log_probs, self._bound))

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
        images = self._checked(images)
        found = [
            self._shares_of_draw(images, noise, conditions)
            for noise in tf.unstack(self.evaluation_noise(seed))
        ]
        return found[0] if len(found) == 1 else _combined_shares(tf.stack(found), self._bound)

    def log_prob_of_draw(self, images: tf.Tensor, noise: tf.Tensor, **conditions: Any) -> tf.Tensor:
        """log p_Y((x + u) / 256) - log q(u | x) - D ln 256, log P estimated from one draw: `[B]`, nats.

        Args:
          images: Integer images `[B, H, W, C]`.
          noise: As `draw` takes it.
          **conditions: Keyword arguments of the flow's bijector, such as `condition`.
        """
        given = {"bijector_kwargs": conditions} if conditions else {}
        y, log_q = self.draw(images, noise)
        continuous = self._flow.log_prob(y, **given)
        return continuous + dequantization_term(self.event_shape.num_elements()) - log_q

    def log_density(self, values: tf.Tensor, **conditions: Any) -> tf.Tensor:
        """log p(v) of grey levels with their noise, v = x + u, with respect to v: `[B]`, nats.

            log p(v) = log p_Y(v / 256) - D ln 256,        P(x) = integral of p over [x, x + 1)^D

        What may be differentiated: `log_prob` is of integers. Where u is uniform noise and v = x + u, it is
        the estimate of log P(x) from this one draw.

        Args:
          values: `[B, H, W, C]` of the model's dtype, grey levels in [0, 256); outside there is no image.
          **conditions: Keyword arguments of the flow's bijector, such as `condition`.
        """
        given = {"bijector_kwargs": conditions} if conditions else {}
        y = tf.convert_to_tensor(values, self.dtype) / quantization.NUM_LEVELS
        return self._flow.log_prob(y, **given) + dequantization_term(self.event_shape.num_elements())

    def _checked(self, images: tf.Tensor) -> tf.Tensor:
        return tf.cast(check_images(images, self.event_shape, self.name), self.dtype)

    def _shares_of_draw(self, images: tf.Tensor, noise: tf.Tensor, conditions: dict[str, Any]) -> tf.Tensor:
        if self._dequantizer is None:
            return shares_of_flow(self._flow, quantization.dequantize(images, noise), **conditions)
        u, log_q = self._dequantizer.by_position(images, noise)
        shares = shares_of_flow(self._flow, quantization.dequantize(images, u), **conditions)
        return positions.added(shares, -log_q)

    def _log_prob_of_images(self, images: tf.Tensor, seed: SeedLike = None, **conditions: Any) -> tf.Tensor:
        if self._num_samples == 1:
            return self.log_prob_of_draw(images, self.evaluation_noise(seed)[0], **conditions)
        return _combine(self._log_probs_of_draws(images, seed, conditions), self._bound)

    def _log_probs_of_draws(
        self, images: tf.Tensor, seed: SeedLike, conditions: dict[str, Any]
    ) -> tf.Tensor:
        """`[S, N]`."""
        draws = self.evaluation_noise(seed)
        if getattr(getattr(self._flow, "bijector", None), "reversible", False):
            # Its gradient, which asks for intermediate values anew, is not to be had inside a graph's loop.
            return tf.stack(
                [self.log_prob_of_draw(images, noise, **conditions) for noise in tf.unstack(draws)]
            )
        return tf.map_fn(
            lambda noise: self.log_prob_of_draw(images, noise, **conditions),
            draws,
            parallel_iterations=1,
            fn_output_signature=self.dtype,
        )

    def draws(self, n: int, seed: SeedLike = None, temperature: float = 1.0) -> tf.Tensor:
        """What `sample` rounds to grey levels: samples y `[n, H, W, C]` of the flow, floating.

        One that is not finite is one that the flow's inverse overflowed on (docs/inverse.md); `sample` makes
        its pixels black.

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


def _standard_error(log_probs: tf.Tensor, bound: str) -> tf.Tensor:
    """That of `_combine`: `[N]`."""
    values = log_probs
    if bound == "importance":  # of log(mean w): the standard error of mean w over mean w
        values = tf.exp(log_probs - _combine(log_probs, bound))
    count = log_probs.shape[0]
    return tf.math.reduce_std(values, axis=0) / math.sqrt(count - 1)
