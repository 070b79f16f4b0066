"""Results on disk, each under a key of everything it depends on."""

import hashlib
import json
import os
import pathlib
import zipfile
from collections.abc import Callable

import numpy as np

FORMAT = 2


class Cache:
    """A folder of results: dicts of arrays, one NumPy archive each, never pickled.

    A result that was computed is found again by its key; one that was interrupted leaves nothing.

    Attributes:
      computed: How many results were not there and had to be computed.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        """Names the folder; it is made when the first result is kept."""
        self._folder = pathlib.Path(folder)
        self.computed = 0

    def get(self, stage: str, key: dict, compute: Callable[[], dict]) -> dict[str, np.ndarray]:
        """The result of `compute()`, from disk if it is there.

        Args:
          stage: Name of the kind of result, the beginning of its file's name.
          key: JSON-ready dict of all that the result depends on.
          compute: Function without arguments that returns a dict from string to array.

        Returns:
          dict from string to `np.ndarray`.
        """
        path = self._folder / f"{stage}-{_digest({'format': FORMAT, **key})}.npz"
        found = _read(path)
        if found is not None:
            return found
        self.computed += 1
        values = {name: np.asarray(value) for name, value in compute().items()}
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npz")
        np.savez_compressed(temporary, **values)  # type: ignore[arg-type]  # its stub takes them for allow_pickle
        os.replace(temporary, path)
        return values


def _digest(key: dict) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]


def _read(path: pathlib.Path) -> dict[str, np.ndarray] | None:
    """The archive's arrays, or None where there is none or it is damaged: then it is made anew."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
