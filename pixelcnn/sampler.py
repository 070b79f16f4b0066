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
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tqdm

from pixelcnn import mixture
from pixelcnn.network import concat_elu, gate
from tfp_flows import noise

PROGRESS_DELAY_S = 2.0


def uniforms(model, n, seed):
    """The noise of n images `[n, H, W, K + C]`, in [0, 1)."""
    height, width, channels = model.event_shape
    return noise.uniform([n, height, width, model.num_components + channels], seed, model.dtype)


def sample_slowly(model, draws, condition=None):
    """Draws images by a full pass through the network for each pixel.

    Args:
      model: `PixelCNN`.
      draws: From `uniforms`.
      condition: None or `[n, K]`.

    Returns:
      `[n, H, W, C]`, integers.
    """
    images = np.zeros([len(draws), *model.event_shape], model.dtype.as_numpy_dtype)
    pixel_mixtures = tf.function(model.pixel_mixtures)
    for row in range(images.shape[1]):
        for column in range(images.shape[2]):
            found = pixel_mixtures(tf.constant(images), condition)
            here = mixture.Mixture(*(part[:, row, column] for part in found))
            images[:, row, column] = mixture.sample(here, draws[:, row, column], _high(model))
    return tf.constant(images)


class Sampler:
    """The fast way, for one model; holds the compiled functions of a few rows."""

    def __init__(self, model):
        """Compiles nothing yet."""
        self._model = model
        network = model.network
        self._period = 2 ** (len(network.down) - 1)
        spec = tf.nest.map_structure(
            lambda shape: tf.TensorSpec(shape.as_list(), model.dtype), self._state()
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

    def sample(self, n, seed, condition=None, progress=None):
        """Draws images.

        Args:
          n: Number of images.
          seed: Integer, or a pair.
          condition: None or `[n, K]`.
          progress: Whether to show a bar; None: in a terminal, where it takes more than two seconds. Inside
            a `tf.function` there is none.

        Returns:
          `[n, H, W, C]`, integers.
        """
        return self.sample_from(uniforms(self._model, n, seed), condition, progress)

    def sample_from(self, draws, condition=None, progress=None):
        """Draws images from given noise, `uniforms(model, n, seed)`."""
        given = [] if condition is None else [condition]
        state = self._empty_state(tf.shape(draws)[0])
        if tf.executing_eagerly():
            return self._in_turns(self._draw_rows, state, draws, given, progress)
        return self._in_graph(state, draws, given)

    def teacher_forced(self, images, condition=None):
        """The `Mixture` of every pixel, computed as in sampling, where what is drawn is `images`.

        It says how far rounding takes the cached activations from those of a full pass.
        """
        given = [] if condition is None else [condition]
        state = self._empty_state(tf.shape(images)[0])
        return self._model.mixture_of(self._in_turns(self._force_rows, state, images, given, progress=False))

    def _drawn_pixel(self, outputs, noise_here):
        """(the pixel that follows from the network's outputs, what is recorded of it)."""
        pixel = mixture.sample(self._model.mixture_of(outputs), noise_here, _high(self._model))
        return pixel, pixel

    def _forced_pixel(self, outputs, pixel):
        return pixel, outputs

    def _empty_state(self, n):
        return tf.nest.map_structure(
            lambda shape: tf.zeros([n if size is None else size for size in shape], self._model.dtype),
            self._state(),
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
        count = draws.shape[1] // self._period
        rows = tf.TensorArray(draws.dtype, count)

        def body(i, state, rows):
            block = draws[:, i * self._period : (i + 1) * self._period]
            block = tf.ensure_shape(block, [None, self._period, *draws.shape[2:]])
            state, drawn = self._rows(self._drawn_pixel, state, block, *given)
            return i + 1, state, rows.write(i, drawn)

        _, _, rows = tf.while_loop(lambda i, *_: i < count, body, (0, state, rows), parallel_iterations=1)
        blocks = tf.transpose(rows.stack(), [1, 0, 2, 3, 4])
        return tf.reshape(blocks, [-1, *self._model.event_shape])

    def _state(self):
        """Shapes of what passes from one block of rows to the next: `State`, None for the batch."""
        _, width, channels = self._model.event_shape
        network = self._model.network
        filters = network.filters
        vertical, horizontal = [], []
        for level, blocks in enumerate(_levels(network)):
            size = width >> level
            vertical.append([tf.TensorShape([None, size, 2 * filters])] * (2 * len(blocks)))
            horizontal.append(tf.TensorShape([size, None, (4 * len(blocks) + 1) * filters]))
        contracted = [tf.TensorShape([None, width >> i, filters]) for i in range(len(network.contract))]
        pixels = [tf.TensorShape([None, width, channels])] * 2
        return State(pixels, vertical, contracted, horizontal)

    def _rows(self, rule, state, draws, condition=None):
        """Goes through `period` rows: (the next state, what `rule` records, `[n, period, W, ...]`)."""
        weights = _Weights(self._model.network, condition)
        recorded = []
        vertical_kept, horizontal_kept = {}, {}
        for phase in range(self._period):
            deepest = _trailing_zeros(phase, len(weights.levels) - 1)
            context, state = _vertical_row(weights, state, deepest, vertical_kept)
            row = _Row(self._model, rule, weights, state, deepest, context, horizontal_kept, draws[:, phase])
            records, state = row.draw()
            recorded.append(records)
        return state, tf.stack(recorded, axis=1)


class State(NamedTuple):
    """What is known of the rows above the current one.

    Attributes:
      pixels: The last two rows in [-1, 1], `[n, W, C]` each, the older first; zeros above the image.
      vertical: For each level, the last row that each convolution of the vertical stack saw.
      contracted: For each contraction, the last row that it saw.
      horizontal: For each level, what the convolutions of the horizontal stack saw in its last row, side by
        side: `[W, n, channels]`.
    """

    pixels: list
    vertical: list
    contracted: list
    horizontal: list


class _HorizontalBlock(NamedTuple):
    """A block's kernels, cut into the part of the row above and the part of the current row."""

    in_above: tf.Tensor  # [4 F, F]
    in_now: tf.Tensor  # [4 F (+ 2 F for the skip), F]
    skip_vertical: tf.Tensor  # [2 F, F]
    in_bias: tf.Tensor
    out_above: tf.Tensor  # [4 F, 2 F]
    out_now: tf.Tensor
    out_bias: tf.Tensor  # [2 F], or [n, 2 F] with a condition


class _Weights:
    """All kernels, normalised once for a few rows."""

    def __init__(self, network, condition):
        self.network = network
        self.condition = condition
        self.filters = network.filters
        self.levels = _levels(network)
        self.num_down = len(network.down[0])
        self.blocks = [[self._split(pair.horizontal) for pair in level] for level in self.levels]
        self.vertical_biases = [
            [
                None if condition is None else pair.vertical.projection(condition)[:, tf.newaxis]
                for pair in level
            ]
            for level in self.levels
        ]
        self.contract = [_above_and_now(pair.horizontal) for pair in network.contract]
        left = network.horizontal_left
        self.left_kernel = left.kernel()[:, 0]
        self.output_kernel = network.output.kernel()

    def _split(self, block):
        in_above, in_now = _above_and_now(block.conv_in)
        out_above, out_now = _above_and_now(block.conv_out)
        skip = block.skip.kernel()
        if skip.shape[0] > 2 * self.filters:  # on the way up: of the vertical stack, and of the way down
            in_now = tf.concat([in_now, skip[2 * self.filters :]], axis=0)
        out_bias = block.conv_out.bias
        if self.condition is not None:
            out_bias = out_bias + block.projection(self.condition)
        return _HorizontalBlock(
            in_above,
            in_now,
            skip[: 2 * self.filters],
            block.conv_in.bias + block.skip.bias,
            out_above,
            out_now,
            out_bias,
        )


def _above_and_now(conv):
    """A kernel [2, 2, I, O] as two matrices [2 I, O]: of the row above and of the current one."""
    kernel = conv.kernel()
    return tuple(tf.reshape(kernel[row], [-1, kernel.shape[-1]]) for row in (0, 1))


def _levels(network):
    """For each resolution, finest first, the pairs of blocks on its way down and then on its way up."""
    return [[*down, *up] for down, up in zip(network.down, reversed(network.up), strict=True)]


def _trailing_zeros(number, most):
    """How often `number` can be halved, at most `most`: the coarsest level at work at this row or column."""
    count = 0
    while count < most and number % 2 ** (count + 1) == 0:
        count += 1
    return count


class _Context(NamedTuple):
    """What the vertical stack gives to the horizontal one, for one row.

    Attributes:
      first: What the first horizontal layer takes from the rows above, `[n, W, F]`.
      skips: For each level at work, the activated output of each vertical block, `[n, W, 2 F]`.
    """

    first: tf.Tensor
    skips: list


def _vertical_row(weights, state, deepest, kept):
    """The vertical stack at one row: (`_Context`, the state with its rows replaced)."""
    network = weights.network
    seen = [list(level) for level in state.vertical]
    contracted = list(state.contracted)
    skips = [[] for _ in range(deepest + 1)]
    stacks = []
    value = _row_conv(network.vertical_init, *state.pixels)
    for level in range(deepest + 1):
        stacks.append([concat_elu(value)])
        for index in range(weights.num_down):
            value = _vertical_block(weights, level, index, value, None, seen)
            stacks[-1].append(concat_elu(value))
            skips[level].append(stacks[-1][-1])
        if level < deepest:
            above, contracted[level] = contracted[level], value
            value = _row_conv(network.contract[level].vertical, above, value)
        elif level < len(contracted):
            contracted[level] = value
    if deepest < len(weights.levels) - 1:
        value = kept[deepest]
    else:
        stacks[-1].pop()
    for level in reversed(range(deepest + 1)):
        for index in range(weights.num_down, len(weights.levels[level])):
            value = _vertical_block(weights, level, index, value, stacks[level].pop(), seen)
            skips[level].append(concat_elu(value))
        if level:
            expand = network.expand[len(network.expand) - level].vertical
            both = expand(value[:, tf.newaxis])
            value, kept[level - 1] = both[:, 0], both[:, 1]
    above = state.pixels[1]
    first = _row_conv(network.horizontal_up, above) + network.horizontal_left.bias
    first += tf.matmul(_to_the_right(above), weights.left_kernel[0])
    return _Context(first, skips), state._replace(vertical=seen, contracted=contracted)


def _vertical_block(weights, level, index, value, skip, seen):
    """A block of the vertical stack at one row; what its convolutions saw replaces what they saw above."""
    block = weights.levels[level][index].vertical
    activated = concat_elu(value)
    y = _row_conv(block.conv_in, seen[level][2 * index], activated)
    if skip is not None:
        y += block.skip(skip)
    inner = concat_elu(y)
    y = _row_conv(block.conv_out, seen[level][2 * index + 1], inner)
    bias = weights.vertical_biases[level][index]
    seen[level][2 * index], seen[level][2 * index + 1] = activated, inner
    return value + gate(y if bias is None else y + bias)


def _row_conv(conv, *rows):
    """A convolution at one row, from as many rows `[n, W, I]` as its kernel is high."""
    y = tf.nn.conv2d(
        tf.pad(tf.stack(rows, axis=1), [[0, 0], [0, 0], *conv.paddings[2:]]),
        conv.kernel(),
        conv.stride,
        "VALID",
    )
    return tf.nn.bias_add(y[:, 0], conv.bias)


def _to_the_right(row):
    """Column c of the result is column c - 1 of `[n, W, C]`."""
    return tf.pad(row[:, :-1], [[0, 0], [1, 0], [0, 0]])


class _Row:
    """One row of the horizontal stack: a loop over blocks of columns, in which the hierarchies repeat."""

    def __init__(self, model, rule, weights, state, deepest, context, kept, draws):
        self._model = model
        self._rule = rule
        self._weights = weights
        self._state = state
        self._deepest = deepest
        self._kept = kept
        self._num_levels = len(weights.levels)
        self._period = 2 ** (self._num_levels - 1)
        self._width = draws.shape[1]
        self._draws = tf.transpose(draws, [1, 0, 2])
        self._first = tf.transpose(context.first, [1, 0, 2])
        self._known = [self._known_of_level(level, context) for level in range(deepest + 1)]

    def draw(self):
        """(what is recorded of the pixels `[n, W, ...]`, the state after this row)."""
        n = tf.shape(self._draws)[1]
        dtype = self._model.dtype
        channels = self._model.event_shape[-1]
        filters = self._weights.filters
        sizes = [self._width >> level for level in range(self._deepest + 1)]
        packed = [self._state.horizontal[level].shape[-1] for level in range(self._deepest + 1)]
        seen = [
            tf.TensorArray(dtype, size, element_shape=[None, p])
            for size, p in zip(sizes, packed, strict=True)
        ]
        below = [
            tf.TensorArray(dtype, self._width >> level, element_shape=[None, filters])
            for level in range(self._deepest)
        ]
        left = [tf.zeros([n, p], dtype) for p in packed]
        pixels = tf.TensorArray(dtype, self._width, element_shape=[None, channels])

        records = tf.TensorArray(dtype, self._width)

        def body(block, x, left, seen, below, pixels, records):
            work = _Columns(left, seen, below)
            for phase in range(self._period):
                column = block * self._period + phase
                drawn, record = self._rule(self._outputs(column, phase, x, work), self._draws[column])
                x = mixture.to_unit(drawn, _high(self._model))
                pixels = pixels.write(column, x)
                records = records.write(column, record)
            return block + 1, x, work.left, work.seen, work.below, pixels, records

        *_, seen, below, pixels, records = tf.while_loop(
            lambda block, *_: block < self._width // self._period,
            body,
            (0, tf.zeros([n, channels], dtype), left, seen, below, pixels, records),
            parallel_iterations=1,
        )
        for level, array in enumerate(below):
            self._kept[level] = array.stack()
        horizontal = [*(array.stack() for array in seen), *self._state.horizontal[self._deepest + 1 :]]
        above = [self._state.pixels[1], tf.transpose(pixels.stack(), [1, 0, 2])]
        return tf.transpose(records.stack(), [1, 0, 2]), self._state._replace(
            pixels=above, horizontal=horizontal
        )

    def _known_of_level(self, level, context):
        """For each column, what does not depend on the current row: `[W, n, channels]`, side by side."""
        weights = self._weights
        above = tf.split(self._state.horizontal[level], self._sizes(level), axis=-1)
        parts = []
        for index, block in enumerate(weights.blocks[level]):
            skip = tf.transpose(context.skips[level][index], [1, 0, 2])
            parts.append(
                tf.matmul(_pairs(above[2 * index]), block.in_above)
                + tf.matmul(skip, block.skip_vertical)
                + block.in_bias
            )
            parts.append(tf.matmul(_pairs(above[2 * index + 1]), block.out_above) + block.out_bias)
        if level < self._deepest:
            kernel, _ = weights.contract[level]
            coarse = tf.matmul(_pairs(above[-1])[::2], kernel)
            bias = weights.network.contract[level].horizontal.bias
            parts.append(tf.repeat(coarse + bias, 2, axis=0))
        return tf.concat(parts, axis=-1)

    def _sizes(self, level):
        """Channels of what is packed: two activated inputs of each block, and the value to contract."""
        filters = self._weights.filters
        return [2 * filters] * (2 * len(self._weights.levels[level])) + [filters]

    def _outputs(self, column, phase, x, work):
        """The network's outputs at one pixel; what its layers saw goes into `work`."""
        weights, network = self._weights, self._weights.network
        deepest = min(self._deepest, _trailing_zeros(phase, self._num_levels - 1))
        levels = [
            _Position(weights, level, self._known[level][column // 2**level], work.left[level])
            for level in range(deepest + 1)
        ]
        value = self._first[column] + tf.matmul(x, weights.left_kernel[1])
        for level, here in enumerate(levels):
            value = here.down(value)
            here.value = value
            if level < deepest:
                _, now = weights.contract[level]
                value = tf.matmul(tf.concat([here.left_value, value], axis=-1), now) + here.contraction
        if deepest < self._num_levels - 1:
            if self._deepest == deepest:  # an odd row of this level: made when the row above was drawn
                value = self._kept[deepest][column // 2**deepest]
            else:
                value = work.expanded.pop(deepest)
        else:
            levels[-1].activations.pop()
        for level in reversed(range(deepest + 1)):
            value = levels[level].up(value)
            if level:
                value = self._expand(network, level, value, column, work)
        for level, here in enumerate(levels):
            work.left[level] = here.packed()
            work.seen[level] = work.seen[level].write(column // 2**level, work.left[level])
        return tf.matmul(tf.nn.elu(value), weights.output_kernel) + network.output.bias

    def _expand(self, network, level, value, column, work):
        """The four finer pixels of one: returns the first and keeps the others until their turn."""
        expand = network.expand[len(network.expand) - level].horizontal
        four = expand(value[:, tf.newaxis, tf.newaxis])
        work.expanded[level - 1] = four[:, 0, 1]
        fine = column // 2 ** (level - 1)
        below = work.below[level - 1].write(fine, four[:, 1, 0])
        work.below[level - 1] = below.write(fine + 1, four[:, 1, 1])
        return four[:, 0, 0]


class _Columns:
    """What the columns of one block pass on."""

    def __init__(self, left, seen, below):
        self.left = list(left)
        self.seen = list(seen)
        self.below = list(below)
        self.expanded = {}


class _Position:
    """One position of one level: its blocks, one after the other."""

    def __init__(self, weights, level, known, left):
        filters = weights.filters
        self._blocks = weights.blocks[level]
        self._num_down = weights.num_down
        count = len(self._blocks)
        sizes = [filters, 2 * filters] * count
        if known.shape[-1] > sum(sizes):
            sizes.append(filters)
        self._known = tf.split(known, sizes, axis=-1)
        self._left = tf.split(left, [2 * filters] * (2 * count) + [filters], axis=-1)
        self.left_value = self._left[-1]
        self.contraction = self._known[-1]
        self._seen = []
        self.activations = []
        self.value = None

    def down(self, value):
        """The blocks on the way down."""
        self.activations.append(concat_elu(value))
        for index in range(self._num_down):
            value = self._block(index, value, self.activations[-1], [])
            self.activations.append(concat_elu(value))
        return value

    def up(self, value):
        """The blocks on the way up, each with the activation from the way down."""
        for index in range(self._num_down, len(self._blocks)):
            value = self._block(index, value, concat_elu(value), [self.activations.pop()])
        return value

    def packed(self):
        """What the convolutions saw here, side by side."""
        return tf.concat([*self._seen, self.value], axis=-1)

    def _block(self, index, value, activated, skip):
        block = self._blocks[index]
        y = tf.matmul(tf.concat([self._left[2 * index], activated, *skip], axis=-1), block.in_now)
        inner = concat_elu(y + self._known[2 * index])
        y = tf.matmul(tf.concat([self._left[2 * index + 1], inner], axis=-1), block.out_now)
        self._seen += [activated, inner]
        return value + gate(y + self._known[2 * index + 1])


def _pairs(row):
    """[column c - 1, column c] side by side, of `[W, n, I]`."""
    return tf.concat([tf.pad(row[:-1], [[1, 0], [0, 0], [0, 0]]), row], axis=-1)


def _high(model):
    return tf.cast(model.high, model.dtype)
