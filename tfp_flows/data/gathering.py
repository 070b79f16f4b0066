"""Pictures put together into one array; what cannot be taken is told all at once, with the remedy.

Pictures of one shape are taken. Where some are grey and others RGB, the kind that is in the majority decides
(RGB, where they are as many).
"""

import collections
import math
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from tfp_flows.checks import sizes
from tfp_flows.data.decoding import DEEP, PLAIN, Decoded, Fact, Unfit
from tfp_flows.data.errors import DataError, DataWarning
from tfp_flows.data.reading import ReadingOptions, few
from tfp_flows.data.stored import Array, view

SIZED = "@resize=32"
_TRANSPARENT, _MODE, _BROKEN, _OPERATION = range(4)
_CHANNELS = {1: "grey", 3: "RGB"}
_ONE_AND_MANY = {"palette": ("has a palette", "have palettes"), DEEP: ("has 16 bits", "have 16 bits")}


class _Fault(NamedTuple):
    """Why a picture cannot be taken: of which kind, in which words, more exactly; and if it was wanted."""

    key: str
    kind: int
    what: str
    detail: str = ""
    kept: bool = True


class Gathered(NamedTuple):
    """What was taken: uint8 `[N, H, W, C]`, its keys and facts, and (key, reason) of what was left out."""

    images: Array
    keys: tuple[str, ...]
    facts: tuple[Fact, ...]
    skipped: tuple[tuple[str, str], ...]

    def of(self, keys: Sequence[str]) -> "Gathered":
        """Those of some keys, in their order, as far as they were not left out."""
        places = {key: index for index, key in enumerate(self.keys)}
        chosen = np.array([places[key] for key in keys if key in places], np.int64)
        wanted = set(keys)
        return Gathered(
            view(self.images, chosen),
            tuple(self.keys[index] for index in chosen),
            tuple(self.facts[index] for index in chosen),
            tuple(each for each in self.skipped if each[0] in wanted),
        )


class Room(Protocol):
    """Room for pictures of one shape."""

    def add(self, image: np.ndarray) -> None:
        """Takes another one, uint8 `[H, W, C]`."""

    def finish(self) -> Array:
        """All of them, uint8 `[N, H, W, C]`."""


class InMemory:
    """Room for at most so many images in an array."""

    def __init__(self, name: str, count: int, image_shape: tuple[int, ...]) -> None:
        """Makes the room. Raises `DataError` if there is none."""
        try:
            sizes.check_held(count * math.prod(image_shape), name, DataError)
        except DataError as error:
            raise DataError(f"{error}, or add {SIZED}") from error
        self._array: np.ndarray = np.empty((count, *image_shape), np.uint8)
        self._taken = 0

    def add(self, image: np.ndarray) -> None:
        """Takes another one."""
        self._array[self._taken] = image
        self._taken += 1

    def finish(self) -> Array:
        """All of them."""
        return self._array[: self._taken]


class Gathering:
    """Takes pictures one after the other; `finish` has them in one array."""

    def __init__(
        self,
        name: str,
        place: str,
        count: int,
        options: ReadingOptions,
        room: Callable[[str, int, tuple[int, ...]], Room] = InMemory,
    ) -> None:
        """Makes no room yet.

        Args:
          name: Of the set, for messages.
          place: What to put before a key in messages that name two of them.
          count: How many pictures there are at most, those included that are looked at alone.
          options: How they are read.
          room: Function of the name, the count and a shape to room for such images.
        """
        self._room = room
        self._name, self._place, self._count, self._options = name, place, count, options
        self._rooms: dict[int, Room] = {}  # by channels: one of two is used in the end
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._taken: dict[int, list[tuple[str, Fact]]] = {}
        self._other_shapes: dict[int, tuple[str, tuple[int, ...]]] = {}  # the first of each
        self._sizes: collections.Counter[tuple[int, ...]] = collections.Counter()
        self._faults: list[_Fault] = []

    def add(self, key: str, made: Decoded, keep: bool = True) -> None:
        """Takes a picture, decoded and with its operations applied; or, without `keep`, looks at it alone.

        Raises:
          DataError: If all would not fit into memory.
        """
        image, fact = made
        if fact.mode not in PLAIN and not self._options.any_mode:
            self._faults.append(_Fault(key, _MODE, fact.mode, "", keep))
            return
        if not keep:
            return
        channels = image.shape[2]
        if channels not in self._rooms:
            self._rooms[channels] = self._room(self._name, self._count, image.shape)
            self._shapes[channels], self._taken[channels] = image.shape, []
        self._sizes[image.shape[:2]] += 1
        if image.shape == self._shapes[channels]:
            self._rooms[channels].add(image)
            self._taken[channels].append((key, fact))
        else:
            self._other_shapes.setdefault(channels, (key, image.shape))

    def fail(self, key: str, error: DataError, keep: bool = True) -> None:
        """Notes a picture that could not be decoded, or does not fit an operation."""
        if not isinstance(error, Unfit):
            self._faults.append(_Fault(key, _OPERATION, "does not fit", str(error).removeprefix(": "), keep))
        elif error.transparent:
            self._faults.append(_Fault(key, _TRANSPARENT, "has transparency", "", keep))
        else:
            reason = (
                str(error).removeprefix("cannot be read as a picture: ").removeprefix("cannot be read: ")
            )
            self._faults.append(_Fault(key, _BROKEN, "cannot be read", reason, keep))

    def finish(self) -> Gathered:
        """What was taken; warns (`DataWarning`) of what was left out.

        Raises:
          DataError: If pictures differ in size; if some cannot be taken, unless `skip_unreadable`; or if
            none can.
        """
        channels = max(self._taken, key=lambda c: (len(self._taken[c]), c), default=0)
        for other in self._taken.keys() - {channels}:
            what = f"{_CHANNELS.get(other, other)} among {_CHANNELS.get(channels, channels)}"
            self._faults += [_Fault(key, _MODE, what) for key, _ in self._taken[other]]
        self._faults.sort()  # by key, whatever was read first
        if self._faults and not (self._options.skip_unreadable and channels):
            raise DataError(self._refusal(channels))
        if channels in self._other_shapes:
            raise DataError(self._difference(channels))
        taken = self._taken[channels]
        found = Gathered(
            self._rooms[channels].finish(),
            tuple(key for key, _ in taken),
            tuple(fact for _, fact in taken),
            tuple((fault.key, _reason(fault)) for fault in self._faults if fault.kept),
        )
        if self._options.copying is None:  # who reads from a copy is warned by whoever reads it
            warn_of_left_out(self._name, found)
        return found

    def _difference(self, channels: int) -> str:
        key, shape = self._other_shapes[channels]
        first, _ = self._taken[channels][0]
        return (
            f"{self._place}{key} has shape {_text(shape)}, but {self._place}{first} has "
            f"{_text(self._shapes[channels])}: all images must have the same shape; these have "
            f"{self._different()}: add {SIZED} to the name"
        )

    def _different(self) -> str:
        found = sorted(self._sizes, key=lambda size: (size[0] * size[1], size))
        return f"{len(found):,} sizes, from {_text(found[0])} to {_text(found[-1])}"

    def _refusal(self, channels: int) -> str:
        """All that cannot be taken, by kind, with the remedy of each."""
        groups: dict[int, dict[str, list[_Fault]]] = {}
        for fault in self._faults:
            groups.setdefault(fault.kind, {}).setdefault(fault.what, []).append(fault)
        remedies = {
            _TRANSPARENT: "add @over=white",
            _MODE: f"add {'@luminance' if channels == 1 else '@rgb'}",
        }
        said = []
        for kind in sorted(groups):
            text = ", ".join(_said(what, faults) for what, faults in groups[kind].items())
            said.append(f"{text}: {remedies[kind]}" if kind in remedies else text)
        if channels in self._other_shapes:
            said.append(f"the others have {self._different()}: add {SIZED}")
        one = len(self._faults) == 1
        what = "image" if self._count == 1 else "images"
        way_out = f"; or skip {'it' if one else 'them'} with `skip_unreadable`" if channels else ""
        return (
            f"{self._name}: {len(self._faults):,} of {self._count:,} {what} cannot be taken as "
            f"{'it is' if one else 'they are'}: {'; '.join(said)}{way_out}"
        )


def warn_of_left_out(name: str, gathered: Gathered) -> None:
    """Warns (`DataWarning`) of pictures of a set that were left out, if there are any."""
    if gathered.skipped:
        count = len(gathered.keys) + len(gathered.skipped)
        warnings.warn(
            f"{name}: {len(gathered.skipped):,} of {count:,} images are left out: "
            f"{few([f'{key} ({reason})' for key, reason in gathered.skipped])}.",
            DataWarning,
            stacklevel=2,
        )


def _said(what: str, faults: Sequence[_Fault]) -> str:
    """Such as "2 are CMYK (a.jpg, b.jpg)"."""
    number = len(faults)
    one, many = _ONE_AND_MANY.get(what, (f"is {what}", f"are {what}"))
    if what.startswith(("has ", "cannot ", "does ")):
        one, many = what, what.replace("has ", "have ").replace("does ", "do ")
    names = [f"{fault.key}: {fault.detail}" if fault.detail else fault.key for fault in faults]
    return f"{number:,} {one if number == 1 else many} ({few(names)})"


def _reason(fault: _Fault) -> str:
    if fault.kind == _MODE:
        return _ONE_AND_MANY.get(fault.what, (f"is {fault.what}",))[0]
    return f"{fault.what}: {fault.detail}" if fault.detail else fault.what


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
