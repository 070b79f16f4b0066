"""The PixelCNN auto-encoder (van den Oord et al. 2016, section 2.4): a code, and a PixelCNN to decode it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from pixelcnn import mixture
from pixelcnn.model import PixelCNN
from tfp_flows.checks.images import check_images
from tfp_flows.data import Preparation
from tfp_flows.numerics import SeedLike


class PixelCNNAutoencoder(tf.Module):
    """An encoder h(x) and a conditional PixelCNN p(x | h), trained jointly.

        maximise  E_x[ log p(x | h(x)) ]

    The code need not hold what the PixelCNN knows about pixels anyway; it tends to hold the rest. log p(x |
    h(x)) is the log-likelihood of an image given its own code: it is no density of x (over all x it sums to
    more than 1), so it is not to be compared with one.

    #### Example

    ```python
    model = PixelCNNAutoencoder((28, 28, 1), code_size=16, num_resnet=1, num_hierarchies=2, num_filters=32)
    model.initialize(images)                               # uint8 [B, 28, 28, 1]
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(model.log_prob_given_code(images))
    gradients = tape.gradient(loss, model.trainable_variables)    # encoder and decoder
    model.reconstruct(images, seed=0)                      # draws from p(x | h(images))
    model.sample(codes, seed=0)                            # codes [N, 16]
    ```

    Attributes:
      run_reference: Of a model that was loaded from a run: which; see `runs.load_model`.
      preparation: Of such a model: how pictures become the images that it takes (`data.read_pictures`).

    #### References

    [1]: Aaron van den Oord et al. Conditional image generation with PixelCNN decoders. NIPS 2016.
         https://arxiv.org/abs/1606.05328
    """

    run_reference: Any = None
    preparation: Preparation | None = None

    def __init__(
        self,
        image_shape: Sequence[int],
        code_size: int,
        encoder: Callable[[tf.Tensor], tf.Tensor] | None = None,
        seed: int = 0,
        name: str = "pixelcnn_autoencoder",
        **decoder: Any,
    ):
        """Creates encoder and decoder.

        Args:
          image_shape: (H, W, C).
          code_size: K, numbers in a code.
          encoder: Callable from images in [-1, 1] `[N, H, W, C]` to `[N, K]` whose variables a `tf.Module`
            tracks; None for two convolutions of stride 2 and a dense layer.
          seed: Python `int` of the initial weights.
          name: Python `str`.
          **decoder: Arguments of `PixelCNN`, such as `num_filters`.
        """
        super().__init__(name=name)
        self.decoder = PixelCNN(image_shape, condition_size=code_size, seed=seed, **decoder)
        self.encoder = encoder or _convolutional_encoder(image_shape, code_size, seed, self.decoder.dtype)

    @property
    def event_shape(self) -> tf.TensorShape:
        """(H, W, C) of the images."""
        return self.decoder.event_shape

    @property
    def dtype(self) -> tf.DType:
        """That of weights and log-probabilities."""
        return self.decoder.dtype

    def log_prob(self, images: np.ndarray | tf.Tensor) -> tf.Tensor:
        """log p(x | h(x)) `[N]` in nats, by which commands judge images: no density of x, see above."""
        return self.log_prob_given_code(images)

    def initialize(self, images: np.ndarray | tf.Tensor) -> None:
        """Data-dependent initialisation of the decoder, with the codes of these images."""
        self.decoder.initialize(images, self.encode(images))

    def encode(self, images: np.ndarray | tf.Tensor) -> tf.Tensor:
        """The codes `[N, K]` of integer images `[N, H, W, C]`.

        Raises:
          UserError: If these are no such images.
        """
        images = tf.cast(check_images(images, self.event_shape, self.name), self.decoder.dtype)
        return self.encoder(mixture.to_unit(images, self.decoder.high))

    def log_prob_given_code(
        self, images: np.ndarray | tf.Tensor, dropout_seed: SeedLike = None
    ) -> tf.Tensor:
        """log p(x | h(x)) `[N]` in nats: what training maximises."""
        return self.decoder.log_prob(images, condition=self.encode(images), dropout_seed=dropout_seed)

    def reconstruct(self, images: np.ndarray | tf.Tensor, seed: SeedLike) -> tf.Tensor:
        """An image drawn from p(x | h(x)) for each of `images`, `[N, H, W, C]` integers."""
        return self.sample(self.encode(images), seed)

    def sample(self, codes: np.ndarray | tf.Tensor, seed: SeedLike) -> tf.Tensor:
        """An image drawn from p(x | h) for each of the codes `[N, K]`."""
        codes = tf.convert_to_tensor(codes)
        count = codes.shape[0] if codes.shape[0] is not None else tf.shape(codes)[0]
        return self.decoder.sample(count, condition=codes, seed=seed)


def _convolutional_encoder(image_shape, code_size, seed, dtype):
    seeds = np.random.SeedSequence([seed, 1]).generate_state(3).tolist()

    def settings(i):
        initializer = tf_keras.initializers.HeNormal(seed=seeds[i])
        return dict(kernel_initializer=initializer, dtype=dtype)

    convolution = dict(kernel_size=3, strides=2, padding="same", activation="relu")
    # Named, since Keras numbers those that are not by how many it has made before.
    return tf_keras.Sequential(
        [
            tf_keras.layers.InputLayer(tuple(image_shape), dtype=dtype, name="images"),
            tf_keras.layers.Conv2D(32, name="first", **convolution, **settings(0)),
            tf_keras.layers.Conv2D(64, name="second", **convolution, **settings(1)),
            tf_keras.layers.Flatten(dtype=dtype, name="flat"),
            tf_keras.layers.Dense(code_size, name="last", **settings(2)),
        ],
        name="encoder",
    )
