"""What sets of images are called in tables, legends and files: short, and each in its own way."""

import collections
import os
from collections.abc import Iterable

from tfp_flows.data.errors import DataError
from tfp_flows.data.names import PATH_KINDS, Identity, Name, understood


class Labels:
    """The labels of the sets that are shown together.

    A set's label is its alias. Without one it is its name; of a path the last parts alone, as many as
    tell it from the others, and the operations: `folder:photos/birds@resize=32` is `birds@resize=32`.
    """

    def __init__(self, names: Iterable[str]) -> None:
        """Makes the labels.

        Args:
          names: Names as in `tfp_flows.data`. Of several spellings of one set, one that has an alias counts.

        Raises:
          DataError: If two sets have the same alias.
        """
        named: dict[Identity, Name] = {}
        for name in map(understood, names):
            if not named.setdefault(name.identity, name).alias:
                named[name.identity] = name
        self._labels = _told_apart(named)

    def __call__(self, name: str) -> str:
        """The label of a set, by any of its names.

        Raises:
          DataError: If it is none of the sets.
        """
        found = self._labels.get(understood(name).identity)
        if found is None:
            raise DataError(f"{printable(name)}: is none of {', '.join(self._labels.values())}")
        return found


def short(name: str) -> str:
    """The label of a set that is shown alone."""
    return Labels([name])(name) if name else name


def printable(text: str) -> str:
    r"""The text on one line: bytes that are no UTF-8, and control characters, as \x.. or \n."""
    known = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in known)


def _told_apart(named: dict[Identity, Name]) -> dict[Identity, str]:
    """A label for each, longer where two would be the same."""
    length = dict.fromkeys(named, 1)
    while True:
        labels = {key: printable(_label(name, length[key])) for key, name in named.items()}
        often = collections.Counter(labels.values())
        twice = [key for key in named if often[labels[key]] > 1]
        if not twice:
            return labels
        for key in twice:
            length[key] += 1
        if all(_label(named[key], length[key]) == _label(named[key], length[key] - 1) for key in twice):
            raise DataError(f"two sets are called '{labels[twice[0]]}': give each an alias of its own")


def _label(name: Name, length: int) -> str:
    """The label with so many parts of a path; with more than there are, of the full name."""
    if name.alias:
        return name.alias
    if name.source.kind in PATH_KINDS:
        path = os.path.abspath(os.path.expanduser(name.source.argument))
        parts = [part for part in path.split(os.sep) if part]
        place = "/".join(parts[-length:]) if length <= len(parts) else f"{name.source.kind}:{path}"
        return "@".join([place, *name.pieces])
    place = name.source.text
    if name.source.kind == "tfds":
        place = name.source.argument if length == 1 else f"tfds:{name.source.argument}"
    return "@".join([place, *name.pieces])
