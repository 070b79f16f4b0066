"""How a coupling divides an event: the part that is transformed, a, and the part that it is given, b.

A split packs either part, so that networks and transforms see no element that is not theirs: the parts of
channels are channels, those of a checkerboard and of rows and columns are images of half the size. Only a
mask that differs from position to position leaves the network a whole image, with zeros in it.
"""

import abc
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_flows.checks.errors import UserError

SPLITS = ("channels", "checkerboard", "rows", "columns")
IMAGE_NDIMS = 3
Parts: TypeAlias = tuple[tf.Tensor, tf.Tensor]


class Split(abc.ABC):
    """A division of events into a and b.

    Attributes:
      in_channels: Channels that a network is given.
      out_channels: Channels of a: a network returns a multiple of them.
      a_ndims: The rank of a in one event.
    """

    in_channels: int
    out_channels: int
    a_ndims: int

    @abc.abstractmethod
    def parts(self, value: tf.Tensor) -> Parts:
        """(a, b) of a value."""

    @abc.abstractmethod
    def join(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """The value whose parts these are."""

    def seen(self, b: tf.Tensor) -> tf.Tensor:
        """What a network is given."""
        return b

    def outputs(self, raw: tf.Tensor) -> tf.Tensor:
        """A network's output for a: `[..., m * channels]` for the m-fold of `out_channels`."""
        return raw

    def whole_positions(self, positions: tf.TensorShape) -> tf.TensorShape:
        """The positions of whole events, from those of what a network is given."""
        return positions

    def packed_condition(self, condition: tf.Tensor) -> tf.Tensor:
        """Of a condition for each position of a whole event, what belongs to a network's positions."""
        return condition


class Channels(Split):
    """The first channels and the last; of an odd number the first part has one more."""

    def __init__(self, num_channels: int, swap: bool, event_ndims: int) -> None:
        """Transforms the first part, or with `swap` the last."""
        self._sizes = [num_channels - num_channels // 2, num_channels // 2]
        self._swap = swap
        self.out_channels, self.in_channels = self._sizes[::-1] if swap else self._sizes
        self.a_ndims = event_ndims

    def parts(self, value: tf.Tensor) -> Parts:
        """`Split.parts`."""
        first, second = tf.split(value, self._sizes, axis=-1)
        return (second, first) if self._swap else (first, second)

    def join(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """`Split.join`."""
        return tf.concat([b, a] if self._swap else [a, b], axis=-1)


class ChosenChannels(Split):
    """The channels that a mask `[C]` names, and the others."""

    def __init__(self, mask: npt.NDArray[np.bool_], event_ndims: int) -> None:
        """Transforms the channels where `mask` is True."""
        self._indices = np.flatnonzero(mask), np.flatnonzero(~mask)
        self._back = np.argsort(np.concatenate(self._indices))
        self.out_channels, self.in_channels = (len(indices) for indices in self._indices)
        self.a_ndims = event_ndims

    def parts(self, value: tf.Tensor) -> Parts:
        """`Split.parts`."""
        a, b = (tf.gather(value, indices, axis=-1) for indices in self._indices)
        return a, b

    def join(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """`Split.join`."""
        return tf.gather(tf.concat([a, b], axis=-1), self._back, axis=-1)


class Pairs(Split):
    """One pixel of each pair: every second row or column, or the black squares of a checkerboard.

    Pairs lie along `axis`, -3 in columns and -2 in rows, and the first of each is transformed; with
    `alternate` it is the second in every odd row.
    """

    def __init__(self, num_channels: int, swap: bool, axis: int, alternate: bool, owner: str) -> None:
        """With `swap`, the other pixel of each pair is transformed."""
        self.in_channels = self.out_channels = num_channels
        self.a_ndims = IMAGE_NDIMS
        self._swap, self._axis, self._alternate, self._owner = swap, axis, alternate, owner

    def parts(self, value: tf.Tensor) -> Parts:
        """`Split.parts`."""
        size = value.shape[self._axis]
        if size is None or size % 2:
            what = {-3: "height", -2: "width"}[self._axis]
            raise UserError(
                f"{self._owner}: this `split` takes pixels in pairs, so the {what} of images must be known "
                f"and even, got shape {tuple(value.shape)}; for other sizes give a mask [height, width, 1]."
            )
        place = value.shape.rank + self._axis
        pairs = tf.reshape(value, _with_sizes(value, place, [size // 2, 2]))
        return self._ordered(*tf.unstack(pairs, axis=place + 1))

    def join(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """`Split.join`."""
        place = a.shape.rank + self._axis
        size = 2 * a.shape[place]
        pairs = tf.stack(self._ordered(a, b), axis=place + 1)
        value = tf.reshape(pairs, _with_sizes(a, place, [size]))
        return tf.ensure_shape(value, [*a.shape[:place], size, *a.shape[place + 1 :]])

    def whole_positions(self, positions: tf.TensorShape) -> tf.TensorShape:
        """`Split.whole_positions`."""
        sizes = positions.as_list()
        sizes[self._axis + 1] *= 2
        return tf.TensorShape(sizes)

    def packed_condition(self, condition: tf.Tensor) -> tf.Tensor:
        """`Split.packed_condition`: that of the pixels that are transformed."""
        return self.parts(condition)[0]

    def _ordered(self, one: tf.Tensor, other: tf.Tensor) -> Parts:
        """(a, b) of the first and the second pixels of all pairs, and those of (a, b)."""
        if self._swap:
            one, other = other, one
        if not self._alternate:
            return one, other
        odd = (tf.range(tf.shape(one)[-3]) % 2 == 1)[:, tf.newaxis, tf.newaxis]
        return tf.where(odd, other, one), tf.where(odd, one, other)


class Mask(Split):
    """The elements that a mask `[H, W, C]` or `[H, W, 1]` names, and the others.

    A network is given the whole event, zero where it is to be transformed, and behind it the mask, 1 where
    the event is given: else what is hidden would look like a zero, and a convolution knows no place. Its
    outputs for elements that are not transformed are not used.
    """

    def __init__(self, mask: npt.NDArray[np.bool_], num_channels: int, owner: str) -> None:
        """Transforms the elements where `mask`, of the rank of an event, is True."""
        chosen = np.broadcast_to(mask, [*mask.shape[:-1], num_channels])
        self._event_shape = list(chosen.shape)
        self._shown = (~mask).astype(np.float32)
        self._indices = np.flatnonzero(chosen), np.flatnonzero(~chosen)
        self._back = np.argsort(np.concatenate(self._indices))
        self._owner = owner
        self.in_channels = num_channels + mask.shape[-1]
        self.out_channels = num_channels
        self.a_ndims = 1

    def parts(self, value: tf.Tensor) -> Parts:
        """`Split.parts`."""
        found = value.shape[-len(self._event_shape) :]
        if not found.is_compatible_with(self._event_shape):
            raise UserError(
                f"{self._owner}: `split` is a mask for events {tuple(self._event_shape)}, got an input of "
                f"shape {tuple(value.shape)}."
            )
        flat = self._flattened(value, len(self._event_shape))
        a, b = (tf.gather(flat, indices, axis=-1) for indices in self._indices)
        return a, b

    def join(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """`Split.join`."""
        flat = tf.gather(tf.concat([a, b], axis=-1), self._back, axis=-1)
        value = tf.reshape(flat, tf.concat([tf.shape(a)[:-1], self._event_shape], 0))
        return tf.ensure_shape(value, a.shape[:-1].concatenate(self._event_shape))

    def seen(self, b: tf.Tensor) -> tf.Tensor:
        """`Split.seen`."""
        hidden = tf.zeros(tf.concat([tf.shape(b)[:-1], [len(self._indices[0])]], 0), b.dtype)
        whole = self.join(tf.ensure_shape(hidden, [*b.shape[:-1], len(self._indices[0])]), b)
        shown = tf.broadcast_to(
            tf.constant(self._shown, b.dtype), tf.concat([tf.shape(b)[:-1], self._shown.shape], 0)
        )
        return tf.concat([whole, tf.ensure_shape(shown, b.shape[:-1].concatenate(self._shown.shape))], -1)

    def outputs(self, raw: tf.Tensor) -> tf.Tensor:
        """`Split.outputs`."""
        channels = self._event_shape[-1]
        times = raw.shape[-1] // channels
        rank = raw.shape.rank
        axes = rank - len(self._event_shape)  # of the batch
        by_output = tf.reshape(raw, tf.concat([tf.shape(raw)[:-1], [times, channels]], 0))
        order = [*range(axes), rank - 1, *range(axes, rank - 1), rank]
        by_output = tf.transpose(by_output, order)
        chosen = tf.gather(self._flattened(by_output, len(self._event_shape)), self._indices[0], axis=-1)
        count = times * len(self._indices[0])
        flat = tf.reshape(chosen, tf.concat([tf.shape(raw)[:axes], [count]], 0))
        return tf.ensure_shape(flat, raw.shape[:axes].concatenate(count))

    def _flattened(self, value: tf.Tensor, ndims: int) -> tf.Tensor:
        """The last `ndims` axes, an event's, as one."""
        size = int(np.prod(self._event_shape))
        return tf.reshape(value, tf.concat([tf.shape(value)[: value.shape.rank - ndims], [size]], 0))


def build(split: str | npt.ArrayLike, num_channels: int, swap: bool, event_ndims: int, owner: str) -> Split:
    """The split that a coupling's arguments name.

    Args:
      split: One of `SPLITS`, or a boolean mask `[C]`, or of the shape of an event, its last axis C or 1.
      num_channels: C.
      swap: Transform the other part.
      event_ndims: Rank of an event.
      owner: Name of the coupling, for messages.

    Raises:
      UserError: If `split` is none of these, or one of its parts has nothing.
    """
    if not isinstance(split, str):
        return _masked(np.asarray(split), num_channels, swap, event_ndims, owner)
    if split not in SPLITS:
        raise UserError(f"{owner}: `split` must be one of {SPLITS} or a mask, got {split!r}.")
    if split == "channels":
        if num_channels < 2:
            raise UserError(
                f"{owner}: split='channels' needs at least two channels, one part of which is transformed "
                f"given the other, got num_channels={num_channels}; images have other splits."
            )
        return Channels(num_channels, swap, event_ndims)
    if event_ndims != IMAGE_NDIMS:
        raise UserError(
            f"{owner}: split={split!r} is one of images, event_ndims=3, got event_ndims={event_ndims}."
        )
    return Pairs(num_channels, swap, -3 if split == "rows" else -2, split == "checkerboard", owner)


def _masked(
    mask: np.ndarray, num_channels: int, swap: bool, event_ndims: int, owner: str
) -> ChosenChannels | Mask:
    if mask.dtype != bool:
        raise UserError(
            f"{owner}: `split` must be one of {SPLITS} or a mask of booleans, got {mask.dtype.name}."
        )
    if mask.ndim not in (1, event_ndims) or mask.shape[-1] not in (1, num_channels):
        of_event = f"({'..., ' if event_ndims > 1 else ''}{num_channels})"
        raise UserError(
            f"{owner}: `split` must be a mask of shape ({num_channels},) or of an event's, {of_event}, got "
            f"{mask.shape}."
        )
    if mask.all() or not mask.any():
        raise UserError(f"{owner}: `split` must be True for some elements, and not for all.")
    mask = mask ^ swap
    if mask.size == num_channels == mask.shape[-1]:  # and not [H, W, 1] of as many positions
        return ChosenChannels(mask.reshape([-1]), event_ndims)
    return Mask(mask, num_channels, owner)


def _with_sizes(value: tf.Tensor, place: int, sizes: list[int]) -> tf.Tensor:
    """The shape of `value` with `sizes` in the place of one axis."""
    shape = tf.shape(value)
    return tf.concat([shape[:place], sizes, shape[place + 1 :]], 0)
