"""The length of an image in a lossless code that is a few tensor operations, and runs inside a graph."""

import tensorflow as tf

LEVELS = 256
UNIFORM = 0.01  # weight of the uniform distribution: no grey level costs more than 14.7 bits
SCALES = (0.35, 1.0, 2.5)  # of the mixture, as multiples of the mean residual around
WEIGHTS = (0.25, 0.5, 0.25)
LEAST_SCALE = 0.15  # grey levels: a pixel of a flat area costs 0.02 bits
LN2 = 0.6931471805599453


def adaptive_bits(images: tf.Tensor) -> tf.Tensor:
    """Bits of images uint8 `[B, H, W, C]` in an adaptive predictive code: float32 `[B]`.

        L(x) = -sum_i log2 P(x_i | x_1, ..., x_(i-1)) + log2(the number of choices)

    Each grey level is predicted from the pixels above and to the left of it, which a decoder knows already;
    P is a mixture of two-sided geometric distributions around the prediction and of the uniform one, and
    their scale is the mean absolute residual of the four neighbours known already. So it is the length,
    to two bits, of what an arithmetic coder would write, without writing it: a lossless codec in the
    manner of LOCO-I (JPEG-LS), whose contexts and adaptive Golomb codes these scales stand for. Of three
    predictions (left, above, LOCO-I's median edge detector), and of channels as they are or less the second
    one, those are taken that leave the smallest residuals, image by image.

    Args:
      images: uint8 `[B, H, W, C]`.

    Returns:
      float32 `[B]`.

    #### References

    [1]: Marcelo Weinberger, Gadiel Seroussi and Guillermo Sapiro. The LOCO-I lossless image compression
         algorithm: principles and standardization into JPEG-LS. IEEE Transactions on Image Processing, 2000.
    """
    planes = tf.cast(images, tf.int32)
    choices = [planes]
    if images.shape[-1] == 3:
        green = planes[..., 1:2]
        less = tf.math.floormod(planes - green + LEVELS // 2, LEVELS)
        choices.append(tf.concat([less[..., :1], green, less[..., 2:]], axis=-1))
    candidates = [pair for choice in choices for pair in ((choice, p) for p in _predictions(choice))]
    costs = tf.stack([_rough_cost(x, p) for x, p in candidates], axis=-1)  # [B, candidates]
    best = tf.argmin(costs, axis=-1)
    x = tf.gather(tf.stack([x for x, _ in candidates], axis=1), best, axis=1, batch_dims=1)
    prediction = tf.gather(tf.stack([p for _, p in candidates], axis=1), best, axis=1, batch_dims=1)
    bits = _bits(tf.cast(x, tf.float32), tf.cast(prediction, tf.float32))
    return tf.reduce_sum(bits, axis=[1, 2, 3]) + tf.math.log(float(len(candidates))) / LN2


def _neighbours(x: tf.Tensor, outside: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """(left, above, above left, above right) of every pixel, as a decoder knows them; `outside` at first."""
    corner = tf.zeros_like(x[:, :1, :1]) + tf.cast(outside, x.dtype)
    first_row = tf.concat([corner, x[:, :1, :-1]], axis=2)
    above = tf.concat([first_row, x[:, :-1]], axis=1)  # in the first row the left one stands for it
    left = tf.concat([above[:, :, :1], x[:, :, :-1]], axis=2)  # in the first column the one above
    above_left = tf.concat([above[:, :, :1], above[:, :, :-1]], axis=2)
    above_right = tf.concat([above[:, 1:, 1:], above[:, 1:, -1:]], axis=2)
    above_right = tf.concat([above[:, :1], above_right], axis=1)
    return left, above, above_left, above_right


def _predictions(x: tf.Tensor) -> list[tf.Tensor]:
    """The predictions of every grey level, integers `[B, H, W, C]`: left, above, median edge detector."""
    left, above, above_left, _ = _neighbours(x, LEVELS // 2)
    smallest, largest = tf.minimum(left, above), tf.maximum(left, above)
    return [left, above, tf.clip_by_value(left + above - above_left, smallest, largest)]


def _rough_cost(x: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """What ranks predictions, `[B]`: sum log(1 + |residual|)."""
    residual = tf.cast(tf.abs(x - prediction), tf.float32)
    return tf.reduce_sum(tf.math.log1p(residual), axis=[1, 2, 3])


def _bits(x: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """-log2 P of every grey level: float32 `[B, H, W, C]`."""
    residual = tf.abs(x - prediction)
    around = tf.add_n(_neighbours(residual, 8)) / 4.0
    probability = tf.fill(tf.shape(x), UNIFORM / LEVELS)
    for multiple, weight in zip(SCALES, WEIGHTS, strict=True):
        rate = 1.0 / (multiple * around + LEAST_SCALE)  # r = exp(-rate), P(e) ~ r^|e|
        inside = 2.0 - tf.exp(-rate * (prediction + 1.0)) - tf.exp(-rate * (LEVELS - prediction))
        # sum_{x=0}^{255} r^|x - p| = (1 + r - r^(p + 1) - r^(256 - p)) / (1 - r)
        total = inside - (1.0 - tf.exp(-rate))
        probability += (1.0 - UNIFORM) * weight * tf.exp(-rate * residual) * -tf.math.expm1(-rate) / total
    return -tf.math.log(probability) / LN2
