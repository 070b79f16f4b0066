"""What images say of themselves, without a model: bands of detail, and the layout of light and colour."""

import numpy as np
import tensorflow as tf

LEVELS = 3
PLANES = 3  # light and two differences of colours; the latter are zero in grey images
GRID = 8
NUM_DETAILS = PLANES * (3 * LEVELS + 2) + 3
NUM_LAYOUT = PLANES * GRID * GRID
NUM_SMALLER = 2
LEAST = 0.1  # grey levels, in a logarithm
LEAST_SHARE = 0.003  # of the pixels, in a logarithm: two or three pixels of a small image
LEAST_CONTRAST = 8.0  # grey levels: the layout of an image with less is not blown up


def planes_of(images: tf.Tensor) -> tf.Tensor:
    """Light and differences of colours of images uint8 `[B, H, W, C]`, any C: float32 `[B, H, W, 3]`.

    The mean of the channels; the first less the last; the second less the mean. In grey levels.
    """
    values = tf.cast(images, tf.float32)
    light = tf.reduce_mean(values, axis=-1)
    if images.shape[-1] == 1:
        return tf.stack([light, tf.zeros_like(light), tf.zeros_like(light)], axis=-1)
    return tf.stack([light, values[..., 0] - values[..., -1], values[..., 1] - light], axis=-1)


def details(images: tf.Tensor) -> tf.Tensor:
    """Statistics of what is fine in images uint8 `[B, H, W, C]`: float32 `[B, NUM_DETAILS]`.

    Of each plane (`planes_of`): log mean |band| of the horizontal, vertical and diagonal bands of a Haar
    pyramid of three levels, its mean, and log of its standard deviation. Of the image: log of the shares of
    pixels that equal their left neighbour, that are black, and that are white. A level that the image is
    too small for is zero.
    """
    low, found = planes_of(images), []
    for _ in range(LEVELS):
        if min(low.shape[1:3]) < 2:
            found.append(tf.zeros([tf.shape(images)[0], 3 * PLANES]))
            continue
        low, bands = _haar(low)
        found += [tf.math.log(tf.reduce_mean(abs(band), axis=[1, 2]) + LEAST) for band in bands]
    planes = planes_of(images)
    found.append(tf.reduce_mean(planes, axis=[1, 2]))
    found.append(tf.math.log(tf.math.reduce_std(planes, axis=[1, 2]) + LEAST))
    same = tf.reduce_all(images[:, :, 1:] == images[:, :, :-1], axis=-1)
    black, white = (tf.reduce_all(images == level, axis=-1) for level in (0, 255))
    return tf.concat([*found, *(_log_share(which) for which in (same, black, white))], axis=-1)


def layout(images: tf.Tensor) -> tf.Tensor:
    """Where light and colour are in images uint8 `[B, H, W, C]`: float32 `[B, NUM_LAYOUT]`.

        (y - mean y) / (std y + 8 grey levels),    y = the planes, averaged over the cells of an 8 x 8 grid

    Contrast is divided out: a layout's density would else be highest for images of low contrast, for
    the reason for which a likelihood is.
    """
    planes = planes_of(images)
    down, across = (tf.constant(_averages(side)) for side in planes.shape[1:3])
    cells = tf.einsum("ih,bhwp,jw->bijp", down, planes, across)
    centred = cells - tf.reduce_mean(cells, axis=[1, 2], keepdims=True)
    spread = tf.sqrt(tf.reduce_mean(centred**2, axis=[1, 2, 3], keepdims=True))
    return tf.reshape(centred / (spread + LEAST_CONTRAST), [-1, NUM_LAYOUT])


def smaller(images: tf.Tensor) -> list[tf.Tensor]:
    """Images uint8 `[B, H, W, C]` at half and at a quarter of their size, by means of blocks, rounded.

    A side that has one pixel keeps it; an odd last row or column is left out.
    """
    found, values = [], tf.cast(images, tf.float32)
    for _ in range(NUM_SMALLER):
        block = [min(side, 2) for side in values.shape[1:3]]
        values = tf.nn.avg_pool2d(values, block, block, "VALID")
        found.append(tf.cast(tf.round(values), tf.uint8))
    return found


def _haar(x: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Means of 2 x 2 pixels, and three bands of what they lose; an odd last row or column is left out."""
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    a, b, c, d = x[:, ::2, ::2], x[:, ::2, 1::2], x[:, 1::2, ::2], x[:, 1::2, 1::2]
    return (a + b + c + d) / 4.0, [(a - b + c - d) / 4.0, (a + b - c - d) / 4.0, (a - b - c + d) / 4.0]


def _log_share(which: tf.Tensor) -> tf.Tensor:
    """log of the share of True in `[B, H, W]`: `[B, 1]`; an image one pixel wide has no neighbours."""
    size = max(which.shape[1] * which.shape[2], 1)
    share = tf.reduce_sum(tf.cast(which, tf.float32), axis=[1, 2]) / size
    return tf.math.log(share + LEAST_SHARE)[:, tf.newaxis]


def _averages(size: int) -> np.ndarray:
    """`[GRID, size]`: row i averages the i-th of GRID equal intervals of [0, size]; each row sums to one."""
    edges = np.linspace(0.0, size, GRID + 1)
    low, high = edges[:-1, np.newaxis], edges[1:, np.newaxis]
    pixels = np.arange(size)
    overlap = np.clip(np.minimum(high, pixels + 1) - np.maximum(low, pixels), 0.0, None)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)
