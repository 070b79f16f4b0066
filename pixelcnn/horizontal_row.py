"""The horizontal stack of the fast sampler: one row, pixel by pixel."""

import tensorflow as tf

from pixelcnn import mixture
from pixelcnn.layers import concat_elu
from pixelcnn.network import gate
from pixelcnn.sampling_state import deepest_level


class HorizontalRow:
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
                x = mixture.to_unit(drawn, self._model.high)
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
        deepest = min(self._deepest, deepest_level(phase, self._num_levels - 1))
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
