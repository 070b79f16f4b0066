"""Kinds of foreign images that are made from own ones, for outlier exposure.

Each maker takes uint8 `[B, H, W, C]` and a seed, and returns uint8 of that shape: one outlier an image, from
that image alone, drawn anew from every seed. So what is made depends on neither the batch nor the parts that
it is computed in. U(a, b) below is drawn once for each image.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf

from tfp_flows.numerics import Seed, noise
from tfp_flows.training import mutation

Maker = Callable[[tf.Tensor, Seed], tf.Tensor]

CELLS = 4  # of a side, about, that are shuffled


def _blurred(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """A Gaussian of U(0.7, 3) pixels; its weights sum to 1 at the edges too."""
    return _grey_levels(gaussian(tf.cast(images, tf.float32), _between(images, seed, 0.7, 3.0)))


def _faded(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """Less contrast: mu + U(0, 0.75) (x - mu), mu the mean of each of the image's channels."""
    values = tf.cast(images, tf.float32)
    mean = tf.reduce_mean(values, axis=[1, 2], keepdims=True)
    return _grey_levels(mean + _each(_between(images, seed, 0.0, 0.75)) * (values - mean))


def _inverted(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """255 - x."""
    del seed
    return 255 - images


def _binarized(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """255 where x >= t, else 0; t one of 1, ..., 255."""
    return tf.where(images >= _each(_level(images, seed, lowest=1)), 255 * tf.ones_like(images), 0)


def _outlined(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """Each value's largest less its smallest neighbour, 3 x 3: light outlines on black."""
    del seed
    values = tf.cast(images, tf.float32)
    largest = tf.nn.max_pool2d(values, 3, 1, "SAME")
    return _grey_levels(largest + tf.nn.max_pool2d(-values, 3, 1, "SAME"))


def _shuffled(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """Its cells in another order, of which a side has the divisor nearest 4 (28: 4 of 7 pixels).

    Pixels, where both sides are prime or so: no cells would be left to shuffle.
    """
    rows, columns = (_cells(side) for side in images.shape[1:3])
    if rows * columns < CELLS:
        return _permuted(images, seed)
    height, width, channels = images.shape[1] // rows, images.shape[2] // columns, images.shape[3]
    swapped = [0, 1, 3, 2, 4, 5]  # rows of pixels in a cell and columns of cells
    cells = tf.transpose(tf.reshape(images, [-1, rows, height, columns, width, channels]), swapped)
    cells = _in_another_order(tf.reshape(cells, [-1, rows * columns, height, width, channels]), seed)
    cells = tf.reshape(cells, [-1, rows, columns, height, width, channels])
    return tf.reshape(tf.transpose(cells, swapped), tf.shape(images))


def _permuted(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """Its pixels in another order; the channels of each stay together."""
    pixels = tf.reshape(images, [-1, images.shape[1] * images.shape[2], images.shape[3]])
    return tf.reshape(_in_another_order(pixels, seed), tf.shape(images))


def _turned(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """By 90, 180 or 270 degrees; by 180 where it is not square."""
    upside_down = images[:, ::-1, ::-1]
    if images.shape[1] != images.shape[2]:
        return upside_down
    left = tf.transpose(images, [0, 2, 1, 3])[:, ::-1]
    which = _each(noise.uniform(tf.shape(images)[:1], seed))
    right = left[:, ::-1, ::-1]
    return tf.where(which < 1 / 3, upside_down, tf.where(which < 2 / 3, left, right))


def _enlarged(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """A window of U(1/4, 2/3) of its sides, anywhere in it, at its full size; bilinear."""
    size, *place = seed.split(3)
    side = _between(images, size, 0.25, 2 / 3)
    return _window(images, side, [(1 - side) * _between(images, each, 0.0, 1.0) for each in place])


def _shrunk(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """To U(1/3, 2/3) of its sides, anywhere on black; bilinear."""
    size, *place = seed.split(3)
    side = 1 / _between(images, size, 1 / 3, 2 / 3)
    return _window(images, side, [(1 - side) * _between(images, each, 0.0, 1.0) for each in place])


def _blended(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """The mean of it and of itself upside down."""
    del seed
    values = tf.cast(images, tf.float32)
    return _grey_levels((values + values[:, ::-1, ::-1]) / 2)


def _mutated(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """U(0.02, 0.5) of its values replaced by grey levels of chance; see `mutation`."""
    rate, which = seed.split(2)
    return mutation.mutate(images, _each(_between(images, rate, 0.02, 0.5)), which)


def _grained(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """Normal noise of U(8, 64) grey levels added."""
    size, grain = seed.split(2)
    normal = noise.normal(tf.shape(images), grain)
    return _grey_levels(tf.cast(images, tf.float32) + _each(_between(images, size, 8.0, 64.0)) * normal)


def _smooth(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """Noise under a Gaussian of U(1, 6) pixels, stretched to 0..255."""
    size, field = seed.split(2)
    values = gaussian(noise.uniform(tf.shape(images), field), _between(images, size, 1.0, 6.0))
    lowest, highest = (f(values, axis=[1, 2], keepdims=True) for f in (tf.reduce_min, tf.reduce_max))
    return _grey_levels(255 * (values - lowest) / tf.maximum(highest - lowest, 1e-6))


def _constant(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """One colour of chance."""
    colours = noise.uniform([tf.shape(images)[0], 1, 1, images.shape[3]], seed)
    return tf.broadcast_to(tf.cast(256 * colours, tf.uint8), tf.shape(images))


def _noise(images: tf.Tensor, seed: Seed) -> tf.Tensor:
    """Grey levels of chance."""
    return tf.cast(256 * noise.uniform(tf.shape(images), seed), tf.uint8)


KINDS: Mapping[str, Maker] = {
    "blurred": _blurred,
    "faded": _faded,
    "inverted": _inverted,
    "binarized": _binarized,
    "outlined": _outlined,
    "shuffled": _shuffled,
    "permuted": _permuted,
    "turned": _turned,
    "enlarged": _enlarged,
    "shrunk": _shrunk,
    "blended": _blended,
    "mutated": _mutated,
    "grained": _grained,
    "smooth": _smooth,
    "constant": _constant,
    "noise": _noise,
}


def gaussian(values: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Weighted means over rows and columns, weights exp(-(i - j)^2 / (2 sigma^2)), normalised for each i.

    Args:
      values: float32 `[B, H, W, C]`.
      sigma: `[B]`, pixels.
    """
    rows, columns = (_weights(side, sigma) for side in values.shape[1:3])
    return tf.einsum("bij,bjkc->bikc", rows, tf.einsum("bkl,bjlc->bjkc", columns, values))


def _weights(side: int, sigma: tf.Tensor) -> tf.Tensor:
    places = tf.range(side, dtype=tf.float32)
    distances = (places[:, tf.newaxis] - places) / sigma[:, tf.newaxis, tf.newaxis]
    return tf.nn.softmax(-0.5 * distances**2, axis=-1)


def _window(images: tf.Tensor, side: tf.Tensor, corner: list[tf.Tensor]) -> tf.Tensor:
    """What lies in a window, at the image's size; `side` and `corner` `[B]` in fractions of its sides."""
    top, left = corner
    boxes = tf.stack([top, left, top + side, left + side], axis=-1)
    each = tf.range(tf.shape(images)[0])
    seen = tf.image.crop_and_resize(tf.cast(images, tf.float32), boxes, each, images.shape[1:3])
    return _grey_levels(seen)


def _cells(side: int) -> int:
    return min((n for n in range(1, side + 1) if side % n == 0), key=lambda n: abs(n - CELLS))


def _in_another_order(rows: tf.Tensor, seed: Seed) -> tf.Tensor:
    """`[B, N, ...]` with each image's N in an order of its own."""
    order = tf.argsort(noise.uniform(tf.shape(rows)[:2], seed), axis=1, stable=True)
    return tf.gather(rows, order, axis=1, batch_dims=1)


def _between(images: tf.Tensor, seed: Seed, low: float, high: float) -> tf.Tensor:
    """U(low, high) for each image: float32 `[B]`."""
    return low + (high - low) * noise.uniform(tf.shape(images)[:1], seed)


def _level(images: tf.Tensor, seed: Seed, lowest: int) -> tf.Tensor:
    return tf.cast(_between(images, seed, float(lowest), 256.0), tf.uint8)


def _each(values: tf.Tensor) -> tf.Tensor:
    """`[B]` as `[B, 1, 1, 1]`."""
    return tf.reshape(values, [-1, 1, 1, 1])


def _grey_levels(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(tf.round(values), 0.0, 255.0), tf.uint8)
