"""The network that finds patches: a small U-Net, and its training."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_flows.detectors import pasting

WINDOW = 64  # pixels: larger images are cut to windows of this size in training
MOST_LEVELS, LEAST_SIDE = 3, 4  # how often the sides are halved, and to what at least
MOST_WIDENING = 4
LEARNING_RATE = 2e-3
RARITY = -2.0  # log-odds of a patch, before anything is learnt


def make_network(image_shape: Sequence[int], width: int, seed: int) -> tf_keras.Model:
    """Images in [-1, 1] `[B, H, W, C]` -> log-odds that a pixel is of a patch `[B, H, W]`.

    A U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597) without batch statistics: a map
    depends on its own image alone. The weights are the same for every size of at least `WINDOW`.

    Args:
      image_shape: (H, W, C).
      width: Channels at the full resolution; up to four times as many below.
      seed: Of the initial weights.
    """
    layers = tf_keras.layers
    seeds = iter(range(100 * seed, 100 * seed + 100))

    def convolution(x: tf.Tensor, channels: int) -> tf.Tensor:
        initializer = tf_keras.initializers.HeUniform(next(seeds))
        return layers.Conv2D(channels, 3, padding="same", activation="relu", kernel_initializer=initializer)(
            x
        )

    x = inputs = layers.Input(image_shape)
    channels, skips = width, []
    for _ in range(num_levels(image_shape)):
        x = convolution(convolution(x, channels), channels)
        skips.append(x)
        x = layers.MaxPool2D(2, padding="same")(x)
        channels = min(2 * channels, MOST_WIDENING * width)
    x = convolution(convolution(x, channels), channels)
    for skip in reversed(skips):
        x = layers.UpSampling2D(2)(x)
        surplus = [(0, x.shape[axis] - skip.shape[axis]) for axis in (1, 2)]
        x = layers.Concatenate()([layers.Cropping2D(surplus)(x), skip])
        x = convolution(x, skip.shape[-1])
    rare = tf_keras.initializers.Constant(RARITY)
    x = layers.Conv2D(1, 1, kernel_initializer="zeros", bias_initializer=rare)(x)
    return tf_keras.Model(inputs, x[..., 0])


def num_levels(image_shape: Sequence[int]) -> int:
    """How often the network halves images of a shape (H, W, C)."""
    side = min(*image_shape[:2], WINDOW)
    return min(MOST_LEVELS, max(0, (side // LEAST_SIDE).bit_length() - 1))


def scaled(images: tf.Tensor) -> tf.Tensor:
    """Grey levels 0..255 as the network takes them."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def train(images: np.ndarray, num_steps: int, width: int, batch_images: int, seed: int) -> list[np.ndarray]:
    """The weights of a network that has learnt to find patches pasted into images.

        min_f  E[ -y log s(f) - (1 - y) log(1 - s(f)) ],    s(f) = 1 / (1 + e^-f)

    over pixels, with labels y of `pasting.pasted`; Adam, whose rate falls to 0 as a cosine. All that is
    random follows from `seed`.

    Args:
      images: uint8 `[N, H, W, C]`, in distribution.
      num_steps: Steps.
      width: As for `make_network`.
      batch_images: Images in a step.
      seed: Of weights, images and patches.

    Returns:
      The arrays that `tf_keras.Model.set_weights` takes.
    """
    window = (*(min(side, WINDOW) for side in images.shape[1:3]), images.shape[3])
    network = make_network(window, width, seed)
    rate = tf_keras.optimizers.schedules.CosineDecay(LEARNING_RATE, num_steps)
    optimizer = tf_keras.optimizers.legacy.Adam(rate)
    batch = [batch_images, *window]
    signature = [tf.TensorSpec(batch, tf.uint8), tf.TensorSpec(batch[:-1], tf.float32)]

    @tf.function(input_signature=signature, autograph=False)
    def step(found: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            log_odds = network(scaled(found))
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, log_odds))
        variables = network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    rng = np.random.default_rng(seed)
    for _ in range(num_steps):
        own, others = (_windows(images, batch_images, window, rng) for _ in range(2))
        step(*(tf.constant(array) for array in pasting.pasted(own, others, rng)))
    return network.get_weights()


def _windows(images: np.ndarray, count: int, window: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """`count` images drawn at random, cut to windows at random places: uint8 `[count, *window]`."""
    chosen = rng.integers(0, len(images), count)
    if tuple(window) == images.shape[1:]:
        return images[chosen]
    rows, columns = (
        rng.integers(0, side - size + 1, count)
        for side, size in zip(images.shape[1:3], window[:2], strict=True)
    )
    places = zip(chosen, rows, columns, strict=True)
    return np.stack([images[i, r : r + window[0], c : c + window[1]] for i, r, c in places])
