"""An ensemble of Wasserstein critics: WAIC with an adversarial objective, without any density."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_flows import data
from tfp_flows.checks.images import check_image_shape
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.distributions.protocols import DensityModel
from tfp_flows.numerics import Seed, noise

LATENT_SIZE = 64
GRADIENT_PENALTY = 10.0
CRITIC_STEPS = 3
LEARNING_RATE = 2e-4


class Critics(Detector):
    """score(x) = Var_k[c_k(x)] - E_k[c_k(x)], over critics c_k of independently trained Wasserstein GANs.

    Each critic is trained by `fit` itself, against a generator of its own, on in-distribution images:

        min_G max_f  E[f(x)] - E[f(G(z))] - 10 E[(||f'(x_hat)|| - 1)^2]

    with x_hat between an image and a generated one. A critic has no scale of its own: c_k is f_k
    standardised over the images given to `fit`. The ensemble of Choi, Jang and Alemi's second
    experiment, which needs no density model; they score by the variance. Their numbers were not at
    hand; see the README for ours.

    #### References

    [1]: Hyunsun Choi, Eric Jang and Alexander Alemi. WAIC, but why? 2018.
         https://arxiv.org/abs/1810.01392 (section 4.2)
    [2]: Ishaan Gulrajani et al. Improved training of Wasserstein GANs. NeurIPS 2017.
         https://arxiv.org/abs/1704.00028
    """

    name = "critics"
    takes_vectors = False
    log_prob_first = False
    exportable = True
    prepares = True
    needs_model = False

    def __init__(
        self,
        image_shape: Sequence[int],
        num_members: int = 5,
        num_steps: int = 400,
        width: int = 32,
        batch_images: int = 64,
        seed: int = 0,
        batch_size: int = 256,
    ):
        """Makes nothing yet: the critics are trained by `fit`.

        Args:
          image_shape: (H, W, C).
          num_members: Critics, at least 2.
          num_steps: Steps of each generator; its critic makes three times as many.
          width: Channels of the first layer.
          batch_images: Images in a step.
          seed: Of weights, data order and noise.
          batch_size: Images scored at once.

        Raises:
          DetectorError: If a number makes no sense.
        """
        settings: dict[str, Any] = dict(
            image_shape=[int(n) for n in image_shape],
            num_members=num_members,
            num_steps=num_steps,
            width=width,
            batch_images=batch_images,
            seed=seed,
        )
        super().__init__([], settings, batch_size)
        self.image_shape = check_image_shape(image_shape, self.name)
        self._networks: list[tf_keras.Model] | None = None

    @classmethod
    def of_models(cls, density_models: Sequence[DensityModel], settings: Mapping) -> Detector:
        """The detector of these settings; there are no density models."""
        return cls(**settings)

    def _prepare(self, images: np.ndarray) -> None:
        settings = self.settings
        for k in range(settings["num_members"]):
            critic = train_critic(
                images,
                settings["num_steps"],
                settings["width"],
                settings["batch_images"],
                settings["seed"] * settings["num_members"] + k,
            )
            for i, weights in enumerate(critic.get_weights()):
                self.fitted[f"critic_{k}_{i}"] = weights
        self._networks = None

    def _before_tracing(self) -> None:
        self._restored()  # variables that a trace makes would have it traced a second time

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        units = tf.cast(images, tf.float32) / 127.5 - 1.0
        with tf.init_scope():
            networks = self._restored()
        return tf.concat([network(units) for network in networks], axis=-1)

    def _fit_statistics(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        scale = statistics.std(axis=0)
        if not (scale > 0).all():
            raise DetectorError(f"{self.name}: a critic gives the same value to all images given to fit.")
        return {"loc": statistics.mean(axis=0), "scale": scale}

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        standardised = (statistics - fitted["loc"]) / fitted["scale"]
        return tf.math.reduce_variance(standardised, axis=-1) - tf.reduce_mean(standardised, axis=-1)

    def _needed(self) -> tuple[str, ...]:
        return ("loc",)

    def _check_prepared(self) -> None:
        if "critic_0_0" not in self.fitted:
            raise DetectorError(f"{self.name}: call fit first, with in-distribution images.")

    def _restored(self) -> list[tf_keras.Model]:
        """The critics with their trained weights, made once."""
        if self._networks is None:
            self._networks = [self._restore(k) for k in range(self.settings["num_members"])]
        return self._networks

    def _restore(self, k: int) -> tf_keras.Model:
        network = make_critic(self.statistics.known_image_shape(), self.settings["width"], seed=0)
        try:
            weights = [self.fitted[f"critic_{k}_{i}"] for i in range(len(network.get_weights()))]
            network.set_weights(weights)
        except (KeyError, ValueError) as error:
            raise DetectorError(
                f"{self.name}: the weights of critic {k} do not fit it; fit again."
            ) from error
        return network


def make_critic(image_shape: Sequence[int], width: int, seed: int) -> tf_keras.Sequential:
    """The critic f: images in [-1, 1] `[B, H, W, C]` -> `[B, 1]`; a `tf_keras.Sequential`."""
    layers = tf_keras.layers
    seeds = iter(range(100 * seed, 100 * seed + 100))
    return tf_keras.Sequential(
        [
            layers.Input(image_shape),
            layers.Conv2D(width, 5, 2, "same", kernel_initializer=_initializer(seeds)),
            layers.LeakyReLU(0.2),
            layers.Conv2D(2 * width, 5, 2, "same", kernel_initializer=_initializer(seeds)),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            layers.Dense(1, kernel_initializer=_initializer(seeds)),
        ]
    )


def make_generator(image_shape: Sequence[int], width: int, seed: int) -> tf_keras.Sequential:
    """The generator G: normal noise `[B, 64]` -> images in [-1, 1] `[B, H, W, C]`."""
    layers = tf_keras.layers
    height, width_px, channels = image_shape
    seeds = iter(range(100 * seed + 50, 100 * seed + 100))
    small = (-(-height // 4), -(-width_px // 4), 2 * width)
    return tf_keras.Sequential(
        [
            layers.Input([LATENT_SIZE]),
            layers.Dense(int(np.prod(small)), "relu", kernel_initializer=_initializer(seeds)),
            layers.Reshape(small),
            _upsample(width, "relu", seeds),
            _upsample(channels, "tanh", seeds),
            layers.Cropping2D([(0, 4 * small[0] - height), (0, 4 * small[1] - width_px)]),
        ]
    )


def train_critic(
    images: np.ndarray, num_steps: int, width: int, batch_images: int, seed: int
) -> tf_keras.Sequential:
    """Trains a Wasserstein GAN with gradient penalty on images uint8 `[N, H, W, C]`; returns its critic.

    All that is random follows from `seed`.
    """
    critic = make_critic(images.shape[1:], width, seed)
    generator = make_generator(images.shape[1:], width, seed)
    optimizers = [tf_keras.optimizers.legacy.Adam(LEARNING_RATE, 0.5, 0.9) for _ in range(2)]

    def critic_step(real, seed):
        latent_seed, mix_seed = Seed.of(seed).split(2)
        fake = generator(noise.normal([batch_images, LATENT_SIZE], latent_seed))
        mixed = real + noise.uniform([batch_images, 1, 1, 1], mix_seed) * (fake - real)
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                inner.watch(mixed)
                value = critic(mixed)
            slope = tf.norm(tf.reshape(inner.gradient(value, mixed), [batch_images, -1]), axis=-1)
            penalty = GRADIENT_PENALTY * tf.reduce_mean((slope - 1.0) ** 2)
            loss = tf.reduce_mean(critic(fake)) - tf.reduce_mean(critic(real)) + penalty
        _apply(optimizers[0], tape, loss, critic.trainable_variables)

    @tf.function(autograph=False)
    def step(batch, seed):
        seeds = Seed.of(seed).split(CRITIC_STEPS + 1)
        real = tf.reshape(
            tf.cast(batch, tf.float32) / 127.5 - 1.0, [CRITIC_STEPS, batch_images, *batch.shape[1:]]
        )
        for i in range(CRITIC_STEPS):
            critic_step(real[i], seeds[i])
        with tf.GradientTape() as tape:
            fake = generator(noise.normal([batch_images, LATENT_SIZE], seeds[-1]))
            loss = -tf.reduce_mean(critic(fake))
        _apply(optimizers[1], tape, loss, generator.trainable_variables)

    batches = data.training_batches(images, CRITIC_STEPS * batch_images, seed, 0, num_steps)
    for i, batch in enumerate(batches):
        step(batch, tf.constant([seed, i]))
    return critic


def _apply(optimizer, tape, loss, variables):
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


def _upsample(channels, activation, seeds):
    return tf_keras.layers.Conv2DTranspose(
        channels, 5, 2, "same", activation=activation, kernel_initializer=_initializer(seeds)
    )


def _initializer(seeds):
    return tf_keras.initializers.GlorotUniform(next(seeds))
