"""The horizontal stack of the fast sampler: one row, pixel by pixel.

A level has half the resolution of the one before it, so it is at work at every other position of that one.
With 3 hierarchies and 8 columns:

    column     0  1  2  3 | 4  5  6  7       two blocks of 4 columns; the loop goes through blocks,
    phase      0  1  2  3 | 0  1  2  3       in each of which the same levels are at work
    level 0    *  *  *  * | *  *  *  *
    level 1    *     *    | *     *
    level 2    *          | *
    deepest    2  0  1  0 | 2  0  1  0       the coarsest level at work: `deepest_level(phase)`

The same holds of the rows: in row 0 all levels may be at work, in row 2 levels 0 and 1, in rows 1 and 3
level 0 alone; so the deepest level at a pixel is the smaller of its row's and its column's.

At a pixel the network goes down from level 0 to the deepest, contracting in between, and up again,
expanding. An expansion makes four values of one, for two columns of two rows of the finer level. What level
1 has at row 0, column 0 becomes, in level 0:

                column 0             column 1
    row 0       used at once         `_Work.expanded`, until column 1 of this row is drawn
    row 1       `below`              `below`, until row 1 is drawn

So where the deepest level is not the coarsest of all, the way up does not start from where the way down has
ended, but from a value that was expanded before: at column 1 of row 0, and everywhere in row 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from pixelcnn import mixture
from pixelcnn.horizontal_position import Position, known_of_level
from pixelcnn.sampling_state import State, deepest_level
from pixelcnn.sampling_weights import SamplingWeights
from pixelcnn.vertical_row import Context

# (the network's outputs at a pixel `[n, P]`, what is given for it) -> (the pixel `[n, C]`, what is recorded)
Rule = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class _Carried(NamedTuple):
    """What one block of columns passes to the next.

    Attributes:
      pixel: The last pixel, in [-1, 1], `[n, C]`; zeros before the first.
      left: For each level at work in this row, what its convolutions saw at its last position.
      seen: For each of them, that of all its positions: for the row below.
      below: For each but the deepest, the expanded values of its next row.
      pixels: The row in [-1, 1].
      records: What is recorded of its pixels.
    """

    pixel: tf.Tensor
    left: list[tf.Tensor]
    seen: list[tf.TensorArray]
    below: list[tf.TensorArray]
    pixels: tf.TensorArray
    records: tf.TensorArray


class _Work:
    """What changes while the columns of a block are drawn."""

    def __init__(self, carried: _Carried):
        self.pixel = carried.pixel
        self.left = list(carried.left)
        self.seen = list(carried.seen)
        self.below = list(carried.below)
        self.pixels = carried.pixels
        self.records = carried.records
        self.expanded: dict[int, tf.Tensor] = {}  # level -> the value at its next position

    def carried(self) -> _Carried:
        return _Carried(self.pixel, self.left, self.seen, self.below, self.pixels, self.records)


class HorizontalRow:
    """One row of the horizontal stack: a loop over blocks of columns."""

    def __init__(
        self,
        rule: Rule,
        high: tf.Tensor,
        weights: SamplingWeights,
        state: State,
        deepest: int,
        context: Context,
        below: dict[int, tf.Tensor],
        given: tf.Tensor,
    ):
        """Computes what does not depend on the row's own pixels.

        Args:
          rule: What becomes of the network's outputs at a pixel.
          high: The highest grey level.
          weights: `SamplingWeights`.
          state: What is known of the rows above.
          deepest: The coarsest level at work in this row.
          context: What the vertical stack says of this row.
          below: For a level, values `[W, n, F]` that a row above has expanded for its odd row; `draw`
            replaces those of the levels that expand.
          given: For each pixel, what `rule` takes beside the outputs, `[n, W, ...]`.
        """
        self._rule = rule
        self._high = high
        self._weights = weights
        self._state = state
        self._deepest = deepest
        self._below = below
        self._coarsest = len(weights.levels) - 1
        self._period = 2**self._coarsest
        self._given = _columns_first(given)
        self._first = _columns_first(context.first)
        self._known = [
            known_of_level(weights, level, state.horizontal[level], context.skips[level], level < deepest)
            for level in range(deepest + 1)
        ]

    def draw(self) -> tuple[tf.Tensor, State]:
        """(what is recorded of the pixels `[n, W, ...]`, the state after this row)."""
        _, carried = tf.while_loop(
            lambda block, _: block < self._given.shape[0] // self._period,
            lambda block, carried: (block + 1, self._draw_block(block, carried)),
            (0, self._before_the_first_column()),
            parallel_iterations=1,
        )
        for level, values in enumerate(carried.below):
            self._below[level] = values.stack()
        horizontal = [values.stack() for values in carried.seen]
        state = self._state._replace(
            pixels=[self._state.pixels[1], _rows_first(carried.pixels.stack())],
            horizontal=[*horizontal, *self._state.horizontal[self._deepest + 1 :]],
        )
        return _rows_first(carried.records.stack()), state

    def _before_the_first_column(self) -> _Carried:
        width, n, dtype = self._given.shape[0], tf.shape(self._given)[1], self._first.dtype
        channels = self._state.pixels[1].shape[-1]
        sizes_seen = [values.shape[-1] for values in self._state.horizontal[: self._deepest + 1]]

        def array(level: int, size: int) -> tf.TensorArray:
            return tf.TensorArray(dtype, width >> level, element_shape=[None, size])

        return _Carried(
            pixel=tf.zeros([n, channels], dtype),
            left=[tf.zeros([n, size], dtype) for size in sizes_seen],
            seen=[array(level, size) for level, size in enumerate(sizes_seen)],
            below=[array(level, self._weights.filters) for level in range(self._deepest)],
            pixels=array(0, channels),
            records=tf.TensorArray(dtype, width),
        )

    def _draw_block(self, block: tf.Tensor, carried: _Carried) -> _Carried:
        """Draws the columns of a block, one after the other."""
        work = _Work(carried)
        for phase in range(self._period):
            column = block * self._period + phase
            drawn, record = self._rule(self._outputs(column, phase, work), self._given[column])
            work.pixel = mixture.to_unit(drawn, self._high)
            work.pixels = work.pixels.write(column, work.pixel)
            work.records = work.records.write(column, record)
        return work.carried()

    def _outputs(self, column: tf.Tensor, phase: int, work: _Work) -> tf.Tensor:
        """The network's outputs at one pixel; what its layers saw goes into `work`."""
        deepest = min(self._deepest, deepest_level(phase, self._coarsest))
        positions = [
            Position(self._weights, level, self._known[level][column // 2**level], work.left[level])
            for level in range(deepest + 1)
        ]
        value = self._first[column] + tf.matmul(work.pixel, self._weights.left_kernel[1])
        for position in positions[:-1]:
            position.down(value)
            value = position.contract()
        value = positions[-1].down(value)
        if deepest == self._coarsest:
            positions[-1].turn()
        else:
            value = self._expanded_before(deepest, column, work)
        for level in reversed(range(deepest + 1)):
            value = positions[level].up(value)
            if level:
                value = self._expand(level, value, column, work)
        for level, position in enumerate(positions):
            work.left[level] = position.seen()
            work.seen[level] = work.seen[level].write(column // 2**level, work.left[level])
        return tf.matmul(tf.nn.elu(value), self._weights.output_kernel) + self._weights.network.output.bias

    def _expanded_before(self, level: int, column: tf.Tensor, work: _Work) -> tf.Tensor:
        """The value at this position of `level` that an earlier position of the next level has expanded."""
        if level == self._deepest:  # an odd row of this level: expanded in the row above
            return self._below[level][column // 2**level]
        return work.expanded.pop(level)

    def _expand(self, level: int, value: tf.Tensor, column: tf.Tensor, work: _Work) -> tf.Tensor:
        """The four values of level - 1 of one of `level`: returns the first, and keeps the others."""
        layers = self._weights.network.expand
        four = layers[len(layers) - level].horizontal(value[:, tf.newaxis, tf.newaxis])
        work.expanded[level - 1] = four[:, 0, 1]
        fine = column // 2 ** (level - 1)
        below = work.below[level - 1].write(fine, four[:, 1, 0])
        work.below[level - 1] = below.write(fine + 1, four[:, 1, 1])
        return four[:, 0, 0]


def _columns_first(row: tf.Tensor) -> tf.Tensor:
    """`[n, W, I] -> [W, n, I]`."""
    return tf.transpose(row, [1, 0, 2])


_rows_first = _columns_first  # and back
