"""Exact sampling: pixel by pixel, computing nothing twice.

Drawing a pixel needs the network's output at that pixel alone, and what the layers made of earlier pixels
does not change any more. So each layer is evaluated once at each position, when it can be: the vertical
stack a row at a time, as soon as the rows above are drawn; of the horizontal stack the part that comes from
the row above, and from the vertical stack, a row at a time; and only what depends on the current row
pixel by pixel. A hierarchy of half the resolution takes part at every other row and column. All in all that
is the work of one pass through the network for an image, where `tfd.PixelCNN` makes H W + 1 passes.

(Ramachandran et al. 2017, Fast generation for convolutional autoregressive models,
https://arxiv.org/abs/1704.06001, cache the same activations.)

`sample_slowly` is the loop over full passes that defines what is drawn: the same image from the same noise.
"""

import functools

import numpy as np
import tensorflow as tf
import tqdm

from pixelcnn import mixture
from pixelcnn.horizontal_row import HorizontalRow
from pixelcnn.sampling_state import deepest_level, state_shapes
from pixelcnn.sampling_weights import SamplingWeights
from pixelcnn.vertical_row import vertical_row
from tfp_flows.distributions.image_distribution import ImageDistribution
from tfp_flows.numerics import SeedLike, noise

PROGRESS_DELAY_S = 2.0


def uniforms(model: ImageDistribution, n: int | tf.Tensor, seed: SeedLike) -> tf.Tensor:
    """The noise of n images `[n, H, W, K + C]`, in [0, 1)."""
    height, width, channels = model.event_shape
    return noise.uniform([n, height, width, model.num_components + channels], seed, model.dtype)


def sample_slowly(
    model: ImageDistribution, draws: np.ndarray | tf.Tensor, condition: np.ndarray | tf.Tensor | None = None
) -> tf.Tensor:
    """Draws images by a full pass through the network for each pixel.

    Args:
      model: `PixelCNN`.
      draws: From `uniforms`.
      condition: None or `[n, K]`.

    Returns:
      `[n, H, W, C]`, integers.
    """
    images = np.zeros([len(draws), *model.event_shape], model.dtype.as_numpy_dtype)
    pixel_mixtures = tf.function(model.pixel_mixtures, autograph=False)
    for row in range(images.shape[1]):
        for column in range(images.shape[2]):
            found = pixel_mixtures(tf.constant(images), condition)
            here = mixture.Mixture(*(one[:, row, column] for one in found))
            images[:, row, column] = mixture.sample(here, draws[:, row, column], model.high)
    return tf.constant(images)


class Sampler:
    """The fast way, for one model; holds the compiled functions of a few rows."""

    def __init__(self, model: ImageDistribution):
        """Compiles nothing yet."""
        self._model = model
        network = model.network
        self._period = 2 ** (len(network.down) - 1)
        spec = tf.nest.map_structure(
            lambda shape: tf.TensorSpec(shape.as_list(), model.dtype), state_shapes(self._model)
        )
        _, width, channels = model.event_shape
        condition = [tf.TensorSpec([None, model.condition_size], model.dtype)] * (model.condition_size > 0)

        def compiled(rule, size):
            rows = tf.TensorSpec([None, self._period, width, size], model.dtype)
            return tf.function(
                functools.partial(self._rows, rule),
                input_signature=[spec, rows, *condition],
                autograph=False,
            )

        self._draw_rows = compiled(self._drawn_pixel, model.num_components + channels)
        self._force_rows = compiled(self._forced_pixel, channels)

    def sample_from(
        self, draws: tf.Tensor, condition: tf.Tensor | None = None, progress: bool | None = None
    ) -> tf.Tensor:
        """Draws images from given noise, `uniforms(model, n, seed)`."""
        given = [] if condition is None else [condition]
        state = self._empty_state(tf.shape(draws)[0])
        if tf.executing_eagerly():
            return self._in_turns(self._draw_rows, state, draws, given, progress)
        return self._in_graph(state, draws, given)

    def teacher_forced(self, images: tf.Tensor, condition: tf.Tensor | None = None) -> mixture.Mixture:
        """The `Mixture` of every pixel, computed as in sampling, where what is drawn is `images`.

        It says how far rounding takes the cached activations from those of a full pass.
        """
        given = [] if condition is None else [condition]
        state = self._empty_state(tf.shape(images)[0])
        return self._model.mixture_of(self._in_turns(self._force_rows, state, images, given, progress=False))

    def _drawn_pixel(self, outputs, noise_here):
        """(the pixel that follows from the network's outputs, what is recorded of it)."""
        pixel = mixture.sample(self._model.mixture_of(outputs), noise_here, self._model.high)
        return pixel, pixel

    def _forced_pixel(self, outputs, pixel):
        return pixel, outputs

    def _empty_state(self, n):
        return tf.nest.map_structure(
            lambda shape: tf.zeros([n if size is None else size for size in shape], self._model.dtype),
            state_shapes(self._model),
        )

    def _in_turns(self, draw_rows, state, draws, given, progress):
        starts = range(0, draws.shape[1], self._period)
        disable = None if progress is None else not progress
        delay = PROGRESS_DELAY_S if progress is None else 0.0
        rows = []
        with tqdm.tqdm(total=draws.shape[1], unit="row", desc="sample", disable=disable, delay=delay) as bar:
            for start in starts:
                state, drawn = draw_rows(state, draws[:, start : start + self._period], *given)
                rows.append(drawn)
                bar.update(self._period)
        return tf.concat(rows, axis=1)

    def _in_graph(self, state, draws, given):
        _, height, width, size = draws.shape
        count = height // self._period
        rows = tf.TensorArray(draws.dtype, count)
        blocks = tf.reshape(draws, [-1, count, self._period, width, size])

        def body(i, state, rows):
            # Not a slice: the size of a slice from a place known at run time is unknown to XLA.
            state, drawn = self._rows(self._drawn_pixel, state, tf.gather(blocks, i, axis=1), *given)
            return i + 1, state, rows.write(i, drawn)

        _, _, rows = tf.while_loop(lambda i, *_: i < count, body, (0, state, rows), parallel_iterations=1)
        blocks = tf.transpose(rows.stack(), [1, 0, 2, 3, 4])
        return tf.reshape(blocks, [-1, *self._model.event_shape])

    def _rows(self, rule, state, draws, condition=None):
        """Goes through `period` rows: (the next state, what `rule` records, `[n, period, W, ...]`)."""
        weights = SamplingWeights(self._model.network, condition)
        recorded = []
        vertical_below, horizontal_below = {}, {}
        for phase in range(self._period):
            deepest = deepest_level(phase, len(weights.levels) - 1)
            context, state = vertical_row(weights, state, deepest, vertical_below)
            row = HorizontalRow(
                rule, self._model.high, weights, state, deepest, context, horizontal_below, draws[:, phase]
            )
            records, state = row.draw()
            recorded.append(records)
        return state, tf.stack(recorded, axis=1)
