"""What was found where a set of pictures was read: for people, and for reports."""

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from tfp_flows.data.decoding import Fact
from tfp_flows.data.operations import Operation
from tfp_flows.data.preparation import over, takes_any_mode

_NAMED = 5  # files that a sentence names


@dataclasses.dataclass(frozen=True)
class ReadingOptions:
    """How pictures are read into one array.

    Attributes:
      operations: Of each picture, before they are put together.
      at_decoding: Those that act when a picture is decoded, wherever they stand.
      skip_unreadable: Whether pictures that cannot be taken are left out.
    """

    operations: tuple[Operation, ...] = ()
    at_decoding: tuple[Operation, ...] = ()
    skip_unreadable: bool = False

    @classmethod
    def of(cls, operations: Sequence[Operation], skip_unreadable: bool = False) -> "ReadingOptions":
        """Those of a whole chain, of which a `@contrast` and what is behind it are for the set."""
        alone = itertools.takewhile(lambda operation: operation.kind != "contrast", operations)
        at_decoding = tuple(o for o in operations if o.kind in ("rgb", "luminance", "over"))
        return cls(tuple(alone), at_decoding, skip_unreadable)

    @property
    def any_mode(self) -> bool:
        """Whether pictures of any mode are taken."""
        return takes_any_mode(self.at_decoding)

    @property
    def over(self) -> tuple[int, int, int] | None:
        """The colour that what is transparent is laid over; None to refuse it."""
        return over(self.at_decoding)


@dataclasses.dataclass(frozen=True)
class Reading:
    """What was found in a folder, and what was done with it.

    Attributes:
      facts: Of each picture that was taken, as it was in its file.
      image_shape: (H, W, C) of what was made of each.
      skipped: (path, reason) of what could not be had, or was left out.
      others: (suffix, number) of the files that are no pictures; "" stands for none.
    """

    facts: tuple[Fact, ...]
    image_shape: tuple[int, int, int]
    skipped: tuple[tuple[str, str], ...] = ()
    others: tuple[tuple[str, int], ...] = ()

    def select(self, indices: Iterable[int]) -> "Reading":
        """That of some of the pictures; of what was skipped it says the same."""
        return dataclasses.replace(self, facts=tuple(self.facts[int(index)] for index in indices))

    def summary(self) -> dict[str, Any]:
        """What `lines` says, as a JSON-ready dict.

        Returns:
          "pictures": their number; "sizes": {"smallest", "median", "largest"}, each [H, W], by their number
          of pixels, and "different", how many sizes there are; "image_shape"; "modes": {mode: number};
          "resized", of another size than `image_shape`, "rotated", "first_frames", "flattened": numbers;
          "skipped": [[path, reason]]; "others": {suffix: number}.
        """
        sizes = sorted([(fact.height, fact.width) for fact in self.facts], key=lambda s: (s[0] * s[1], s))
        modes = collections.Counter(fact.mode for fact in self.facts)
        return {
            "pictures": len(self.facts),
            "sizes": {
                "smallest": list(sizes[0]),
                "median": list(sizes[(len(sizes) - 1) // 2]),
                "largest": list(sizes[-1]),
                "different": len(set(sizes)),
            },
            "image_shape": list(self.image_shape),
            "modes": dict(modes.most_common()),
            "resized": sum(size != self.image_shape[:2] for size in sizes),
            "rotated": sum(fact.rotated for fact in self.facts),
            "first_frames": sum(fact.first_frame for fact in self.facts),
            "flattened": sum(fact.flattened for fact in self.facts),
            "skipped": [list(each) for each in self.skipped],
            "others": dict(self.others),
        }

    def lines(self) -> list[str]:
        """The same for people: a few lines, of what there is to say."""
        found = self.summary()
        count, sizes = found["pictures"], found["sizes"]
        smallest, median, largest = (by(*sizes[key]) for key in ("smallest", "median", "largest"))
        range_ = smallest if sizes["different"] == 1 else f"{smallest} to {largest}, median {median}"
        shape = "x".join(map(str, self.image_shape))
        modes = ", ".join(f"{number:,} {mode}" for mode, number in found["modes"].items())
        done = [
            (found["resized"], f"brought to {shape}"),
            (found["rotated"], "turned as EXIF says"),
            (found["first_frames"], "with more than one frame: the first is taken"),
            (found["flattened"], "with transparency, laid over a colour"),
        ]
        said = [
            f"{count:,} pictures of {range_} ({modes})" if count > 1 else f"1 picture of {range_} ({modes})"
        ]
        said += [f"{number:,} {what}" for number, what in done if number]
        if self.skipped:
            names = [f"{path} ({reason})" for path, reason in self.skipped]
            said.append(f"{len(names):,} skipped: {few(names)}")
        if self.others:
            said.append(others_text(self.others))
        return said


def others_text(others: Sequence[tuple[str, int]]) -> str:
    """Says how many files that are no pictures there are; "" where there are none."""
    number = sum(count for _, count in others)
    suffixes = few([suffix or "without a suffix" for suffix, _ in others])
    files = "other file was" if number == 1 else "other files were"
    return f"{number:,} {files} left alone ({suffixes})" if number else ""


def few(names: Sequence[str]) -> str:
    """The first few of some names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def by(height: int, width: int) -> str:
    """A size as text, height first."""
    return f"{height}x{width}"
