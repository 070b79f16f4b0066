"""Pictures put together into one array; what cannot be taken is told all at once, with the remedy.

Pictures of one shape are taken. Where some are grey and others RGB, the kind that is in the majority decides
(RGB, where they are as many).
"""

import collections
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfp_flows.checks import sizes
from tfp_flows.data.decoding import DEEP, PLAIN, Decoded, Fact, Unfit
from tfp_flows.data.errors import DataError, DataWarning
from tfp_flows.data.reading import ReadingOptions, few

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

    images: np.ndarray
    keys: tuple[str, ...]
    facts: tuple[Fact, ...]
    skipped: tuple[tuple[str, str], ...]


class Gathering:
    """Takes pictures one after the other; `finish` has them in one array."""

    def __init__(self, name: str, place: str, count: int, options: ReadingOptions) -> None:
        """Makes no room yet.

        Args:
          name: Of the set, for messages.
          place: What to put before a key in messages that name two of them.
          count: How many pictures there are at most, those included that are looked at alone.
          options: How they are read.
        """
        self._name, self._place, self._count, self._options = name, place, count, options
        self._arrays: dict[int, np.ndarray] = {}  # by channels: one of two is used in the end
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
        if channels not in self._arrays:
            self._make_room(image)
        array, taken = self._arrays[channels], self._taken[channels]
        self._sizes[image.shape[:2]] += 1
        if image.shape == array.shape[1:]:
            array[len(taken)] = image
            taken.append((key, fact))
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
        left_out = [(fault.key, _reason(fault)) for fault in self._faults if fault.kept]
        if left_out:
            warnings.warn(
                f"{self._name}: {len(left_out):,} of {len(taken) + len(left_out):,} images are left out: "
                f"{few([f'{key} ({reason})' for key, reason in left_out])}.",
                DataWarning,
                stacklevel=2,
            )
        return Gathered(
            self._arrays[channels][: len(taken)],
            tuple(key for key, _ in taken),
            tuple(fact for _, fact in taken),
            tuple(left_out),
        )

    def _make_room(self, image: np.ndarray) -> None:
        try:
            sizes.check_held(self._count * image.size, self._name, DataError)
        except DataError as error:
            raise DataError(f"{error}, or add {SIZED}") from error
        self._arrays[image.shape[2]] = np.empty((self._count, *image.shape), np.uint8)
        self._taken[image.shape[2]] = []

    def _difference(self, channels: int) -> str:
        key, shape = self._other_shapes[channels]
        first, _ = self._taken[channels][0]
        return (
            f"{self._place}{key} has shape {_text(shape)}, but {self._place}{first} has "
            f"{_text(self._arrays[channels].shape[1:])}: all images must have the same shape; these have "
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
