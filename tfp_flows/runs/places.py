"""Where the data of a run lie: kept absolute and relative to the run's folder, so that either may move.

`run.json` has, under "places", each name with a path that made the run, as it was written, with the
absolute path and the one relative to the folder. A name is looked for at the absolute path, then relative
to the folder where it is now, then as it was written; the first that is there counts.
"""

import glob
import os
from collections.abc import Iterable
from typing import Any

from tfp_flows.checks.files import is_remote
from tfp_flows.data import DataError, names
from tfp_flows.runs.errors import RunError

Places = dict[str, dict[str, str]]


def of_names(named: Iterable[str], folder: str | os.PathLike, known: Places) -> Places:
    """The places of the names that have a path.

    Args:
      named: Names as in `tfp_flows.data`.
      folder: The run's.
      known: Places of names that were written down before: where such a name is now, is kept.
    """
    found = {}
    for name in dict.fromkeys(named):
        path = _path(find(name, folder, known))
        if path is not None:
            absolute = os.path.abspath(path)
            real = os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))
            relative = os.path.relpath(real, os.path.realpath(folder))
            found[name] = {"absolute": absolute, "relative": relative}
    return found


def find(name: str, folder: str | os.PathLike, known: Places) -> str:
    """The name with the path where its images are now; as it is, where they are nowhere or just there."""
    path = _path(name)
    for place in tried(name, folder, known):
        if path is not None and is_there(place):
            same = os.path.realpath(place) == os.path.realpath(path)
            return name if same else names.take_apart(name).with_path(place)
    return name


def need(name: str, folder: str | os.PathLike, known: Places, hint: str = "") -> str:
    """As `find`, where the name is known.

    Raises:
      RunError: If its images are nowhere; the message ends with `hint`.
    """
    if name not in known:
        return name
    looked = tried(name, folder, known)
    if not any(map(is_there, looked)):
        raise RunError(f"`run`: {name} of {folder} is not there any more ({', '.join(looked)}){hint}.")
    return find(name, folder, known)


def tried(name: str, folder: str | os.PathLike, known: Places) -> list[str]:
    """The paths where a name is looked for, in order; none for a name without a path."""
    path = _path(name)
    if path is None:
        return []
    place = known.get(name)
    if place is None:
        return [path]
    relative = os.path.normpath(os.path.join(os.path.realpath(folder), place["relative"]))
    return list(dict.fromkeys([place["absolute"], relative, path]))


def same(one: str, other: str, folder: str | os.PathLike, known: Places) -> bool:
    """Whether two names, the first one of the run's own, may mean the same images.

    They do if they are one place, however it is spelled, and they may where the first one's images are
    nowhere, as they have been moved, and kind and operations are the same.
    """
    if one == other:
        return True
    try:
        first, second = (names.identity(find(name, folder, known)) for name in (one, other))
    except DataError:
        return False
    gone = first.kind in names.PATH_KINDS and not any(map(is_there, tried(one, folder, known)))
    return first == second or (gone and first._replace(argument=second.argument) == second)


def is_there(path: str) -> bool:
    """Whether there is a file or folder, or one of a pattern; what is remote is not asked for."""
    return is_remote(path) or os.path.exists(path) or bool(glob.glob(path))


def sound(places: Any) -> Places:
    """The places of a `run.json`.

    Raises:
      ValueError: If they are none.
    """
    if not isinstance(places, dict) or not all(
        isinstance(place, dict) and all(isinstance(place.get(key), str) for key in ("absolute", "relative"))
        for place in places.values()
    ):
        raise ValueError(f"'places' is {places!r}")
    return places


def _path(name: str) -> str | None:
    """The path in a name, or None where it has none, or is a name of the user's own."""
    try:
        source = names.take_apart(name).source
    except DataError:
        return None
    return os.path.expanduser(source.argument) if source.kind in names.PATH_KINDS else None
