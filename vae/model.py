"""The variational auto-encoder as a distribution over integer images."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError
from tfp_flows.checks.images import check_image_shape, check_images
from tfp_flows.distributions import conditions, copies
from tfp_flows.distributions.image_distribution import ImageDistribution
from tfp_flows.distributions.temperature import checked
from tfp_flows.numerics import Seed, SeedLike, noise
from vae.config import ARCHITECTURES
from vae.importance import ImportanceEstimate, importance_weighted_log_prob, importance_weighted_map
from vae.likelihoods import LIKELIHOODS
from vae.networks import Decoder, Encoder
from vae.posterior import Posterior

# What the networks follow from.
OF_NETWORKS = (
    "image_shape",
    "condition_size",
    "latent_size",
    "architecture",
    "likelihood",
    "num_mixtures",
    "seed",
    "dtype",
)
SMALLEST_SCALE = 1e-4
LARGEST_BATCH = 256  # for which `chunk` bounds the memory
DECODED_FLOATS = 2**25
LARGEST_CHUNK = 16  # each of its samples is drawn by an operation of its own


class Elbo(NamedTuple):
    """The evidence lower bound in its two terms, nats: ELBO = reconstruction - kl.

    Attributes:
      reconstruction: `[B]`, E_q[log p(x | z)], from one draw of z.
      kl: `[B]`, KL(q(z | x) || p(z)), exact.
    """

    reconstruction: tf.Tensor
    kl: tf.Tensor

    @property
    def elbo(self) -> tf.Tensor:
        """reconstruction - kl `[B]`."""
        return self.reconstruction - self.kl


class VAE(ImageDistribution):
    """A density model with a Gaussian latent: p(x) = E_{z ~ N(0, I)}[p(x | z)].

    With a condition h, a vector that encoder and decoder are given: p(x | h) = E_{z ~ N(0, I)}[p(x | z, h)],
    by q(z | x, h) (Sohn et al. 2015).

    `log_prob` is the importance-weighted bound with K samples (`importance_weighted_log_prob`), from a fixed
    seed whose noise is shared by all images, so that a result depends on neither batch nor order;
    `log_prob(x, seed=...)` takes other noise.

    Batch shape `[]`, event `[H, W, C]` of integers 0..255. A copy has the same weights:
    `model.copy(num_importance_samples=256)` is the model with a tighter bound.

    #### Example

    ```python
    model = vae.VAE((28, 28, 1), latent_size=50, num_importance_samples=64)
    model.log_prob(images)                       # uint8 [B, 28, 28, 1] -> [B], nats
    model.log_prob_and_standard_error(images)    # and how sure that is
    model.elbo(images, seed=0)                   # reconstruction and KL
    model.decode(model.encode(images).mean())    # tfd.Distribution over images

    digits = vae.VAE((28, 28, 1), condition_size=10)
    digits.log_prob(images, condition=tf.one_hot(labels, 10))       # log p(x | y)
    digits.sample(10, condition=tf.eye(10), seed=0)                 # one of each class
    ```

    #### Temperature

    `model.sample(n, temperature=T)` draws z ~ N(0, T^2 I), then x ~ p(x | z) as always: with 0, pixels of
    the one p(x | 0).

    #### References

    [1]: Diederik P. Kingma and Max Welling. Auto-encoding variational Bayes. ICLR 2014.
         https://arxiv.org/abs/1312.6114
    [2]: Mihaela Rosca, Balaji Lakshminarayanan and Shakir Mohamed. Distribution matching in variational
         inference. 2018. https://arxiv.org/abs/1802.06847
    [3]: Kihyuk Sohn, Honglak Lee and Xinchen Yan. Learning structured output representation using deep
         conditional generative models. NIPS 2015.
    """

    def __init__(
        self,
        image_shape: Sequence[int] | tf.TensorShape,
        latent_size: int = 50,
        architecture: str = "rosca",
        likelihood: str = "categorical",
        num_mixtures: int = 5,
        num_importance_samples: int = 64,
        noise_seed: SeedLike = 0,
        seed: int = 0,
        dtype: tf.DType = tf.float32,
        encoder: Callable[..., tf.Tensor] | None = None,
        decoder: Callable[..., tf.Tensor] | None = None,
        condition_size: int = 0,
        name: str = "vae",
    ):
        """Creates the distribution and its variables.

        Args:
          image_shape: (H, W, C).
          latent_size: Dimensions of z.
          architecture: "rosca" or "small".
          likelihood: "categorical" (256 levels), "logistic" (a mixture of discretised ones) or "bernoulli"
            (images of levels 0 and 255).
          num_mixtures: Components of the logistic mixture.
          num_importance_samples: K of `log_prob`.
          noise_seed: As `Seed.of` takes it, the noise of `log_prob` where none is given in the call.
          seed: Python `int` of the initial weights.
          dtype: `tf.float32` or `tf.float64`.
          encoder: The network of another VAE of the same settings, whose weights are shared; None for a new
            one.
          decoder: Likewise.
          condition_size: K: the density is p(x | h) for vectors h `[K]`; 0 for none.
          name: Python `str`.

        Raises:
          UserError: If an argument is not of this kind.
        """
        parameters = dict(locals())
        _check(name, architecture, likelihood, latent_size, num_mixtures, num_importance_samples)
        condition_size = conditions.check_size(condition_size, name)
        image_shape = check_image_shape(image_shape, name)
        dtype = tf.as_dtype(dtype)
        channels = image_shape[-1]
        self._latent_size = latent_size
        self._condition_size = condition_size
        self._likelihood = LIKELIHOODS[likelihood]
        self._num_mixtures = num_mixtures
        self._num_importance_samples = num_importance_samples
        self._noise_seed = noise_seed
        num_outputs = self._likelihood.num_outputs(channels, num_mixtures)
        if encoder is None:
            encoder = Encoder(image_shape, 2 * latent_size, architecture, seed, dtype, condition_size)
        if decoder is None:
            decoder = Decoder(
                image_shape, latent_size, num_outputs, architecture, seed, dtype, condition_size
            )
        self._encoder, self._decoder = encoder, decoder
        parameters |= dict(encoder=encoder, decoder=decoder)  # a copy shares them
        per_sample = LARGEST_BATCH * np.prod(image_shape[:2]) * max(num_outputs, 64)
        self._chunk = int(max(1, min(LARGEST_CHUNK, num_importance_samples, DECODED_FLOATS // per_sample)))
        super().__init__(image_shape, dtype, parameters, name)

    def copy(self, **overrides: Any) -> "VAE":
        """The model, of the same weights, with other arguments.

        Raises:
          UserError: If an argument is another that the networks follow from.
        """
        copies.check_overrides(self, overrides, OF_NETWORKS, networks=("encoder", "decoder"))
        return super().copy(**overrides)

    @property
    def prior(self) -> tfd.Distribution:
        """p(z): standard normal, event `[latent_size]`."""
        return tfd.Sample(tfd.Normal(tf.zeros([], self.dtype), tf.ones([], self.dtype)), [self._latent_size])

    @property
    def condition_size(self) -> int:
        """K, the size of the condition; 0 for none."""
        return self._condition_size

    def encode(
        self,
        images: np.ndarray | tf.Tensor,
        shared_noise: bool = False,
        condition: np.ndarray | tf.Tensor | None = None,
    ) -> tfd.Independent:
        """q(z | x): a diagonal normal for each of integer images `[N, H, W, C]`, event `[latent_size]`.

        With `shared_noise`, draws for all images come from the same noise. Of a model with a condition
        q(z | x, h), `condition` `[N, K]` or `[K]`.
        """
        units = self._checked(images) / 127.5 - 1.0
        given = self._given(condition, units)
        loc, raw_scale = tf.split(self._encoder(units, **given), 2, axis=-1)
        scale = tf.nn.softplus(raw_scale) + SMALLEST_SCALE
        return tfd.Independent(Posterior(loc, scale, shared_noise), 1)

    def decode(self, z: tf.Tensor, condition: np.ndarray | tf.Tensor | None = None) -> tfd.Distribution:
        """p(x | z): a distribution over integer images for latents `[..., latent_size]`.

        Of a model with a condition p(x | z, h), `condition` `[..., K]` broadcast to the latents.
        """
        found = conditions.checked(condition, self._condition_size, self.dtype, self.name)
        outputs = self._decoder(z, **({} if found is None else {"condition": found}))
        return self._likelihood.distribution(outputs, self.event_shape[-1], self._num_mixtures)

    def log_prob_and_standard_error(
        self,
        images: np.ndarray | tf.Tensor,
        seed: SeedLike = None,
        condition: np.ndarray | tf.Tensor | None = None,
    ) -> ImportanceEstimate:
        """`ImportanceEstimate` of integer images `[N, H, W, C]`: log p(x) and its standard error, nats."""
        return self._importance(self._checked(images), seed, True, condition)

    def log_prob_map(
        self,
        images: np.ndarray | tf.Tensor,
        seed: SeedLike = None,
        condition: np.ndarray | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The share of each pixel in `log_prob` of integer images `[N, H, W, C]`: `[N, H, W]`, nats.

        See `importance_weighted_map`; they sum to `log_prob`.
        """
        images = self._checked(images)
        encode, decode = self._networks(images, True, condition)
        noise_seed = self._noise_seed if seed is None else seed
        return importance_weighted_map(
            images, self.prior, encode, decode, self._num_importance_samples, noise_seed
        )

    def elbo(
        self,
        images: np.ndarray | tf.Tensor,
        seed: SeedLike,
        shared_noise: bool = False,
        condition: np.ndarray | tf.Tensor | None = None,
    ) -> Elbo:
        """`Elbo` of integer images `[N, H, W, C]`, with noise of its own for each image, or one for all."""
        images = self._checked(images)
        encode, decode = self._networks(images, False, condition)
        posterior = encode(images)
        draws = self._noise(images[:1] if shared_noise else images, seed)
        z = posterior.distribution.loc + posterior.distribution.scale * draws
        standard = tfd.Normal(tf.zeros([], self.dtype), tf.ones([], self.dtype))
        kl = tf.reduce_sum(tfd.kl_divergence(posterior.distribution, standard), axis=-1)
        return Elbo(decode(z).log_prob(images), kl)

    def training_log_prob(
        self,
        images: np.ndarray | tf.Tensor,
        seed: SeedLike,
        condition: np.ndarray | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """What training maximises `[N]`: the ELBO, or for K > 1 the importance-weighted bound."""
        if self._num_importance_samples == 1:
            return self.elbo(images, seed, condition=condition).elbo
        return self._importance(self._checked(images), seed, False, condition).log_prob

    def reconstruct(
        self,
        images: np.ndarray | tf.Tensor,
        seed: SeedLike,
        condition: np.ndarray | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """An image drawn from p(x | z), z ~ q(z | x), for each of `images`: integers `[N, H, W, C]`."""
        latent_seed, pixel_seed = Seed.of(seed).split(2)
        images = self._checked(images)
        encode, decode = self._networks(images, False, condition)
        posterior = encode(images).distribution
        z = posterior.loc + posterior.scale * self._noise(images, latent_seed)
        return decode(z).sample(seed=pixel_seed)

    def _checked(self, images):
        return tf.cast(check_images(images, self.event_shape, self.name), self.dtype)

    def _noise(self, images, seed):
        return noise.normal([tf.shape(images)[0], self._latent_size], seed, self.dtype)

    def _given(self, condition, values):
        """What networks are given besides a batch `values` `[N, ...]`: nothing, or `condition` `[N, K]`."""
        count = tf.shape(values)[0] if values.shape[0] is None else values.shape[0]
        found = conditions.vectors(condition, self._condition_size, count, self.dtype, self.name)
        return {} if found is None else {"condition": found}

    def _networks(self, images, shared_noise, condition):
        """(x -> q(z | x), z -> p(x | z)), with the condition of these images if there is one."""
        given = self._given(condition, images)
        return (
            lambda x: self.encode(x, shared_noise, **given),
            lambda z: self.decode(z, **given),
        )

    def _importance(self, images, seed, shared_noise, condition):
        return importance_weighted_log_prob(
            images,
            self.prior,
            *self._networks(images, shared_noise, condition),
            self._num_importance_samples,
            self._chunk,
            self._noise_seed if seed is None else seed,
        )

    def _log_prob_of_images(self, images, seed=None, condition=None):
        return self._importance(images, seed, True, condition).log_prob

    def _sample_n(self, n, seed=None, temperature=1.0, condition=None):
        latent_seed, pixel_seed = Seed.of(seed).split(2)
        z = noise.normal([n, self._latent_size], latent_seed, self.dtype)
        z = checked(temperature, self.name) * z
        found = conditions.vectors(condition, self._condition_size, n, self.dtype, self.name)
        return self.decode(z, found).sample(seed=pixel_seed)


def _check(name, architecture, likelihood, latent_size, num_mixtures, num_importance_samples):
    for argument, value, choices in (
        ("architecture", architecture, ARCHITECTURES),
        ("likelihood", likelihood, LIKELIHOODS),
    ):
        if value not in choices:
            raise UserError(f"{name}: `{argument}` must be one of {', '.join(choices)}, got {value!r}.")
    for argument, value in (
        ("latent_size", latent_size),
        ("num_mixtures", num_mixtures),
        ("num_importance_samples", num_importance_samples),
    ):
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise UserError(f"{name}: `{argument}` must be a positive integer, got {value!r}.")
