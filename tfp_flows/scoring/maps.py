r"""Pictures of heat maps for the images of a scoring job: a PNG file for each, in a folder.

    DIR/KEY.png       the image beside itself under its map, with the scale in its caption
    DIR/scale.json    the scale of all of them, and of which model they are

A key's parts between slashes are folders. What is no letter, digit, blank or one of ._-+=@,() is written as
the bytes %HH, as are a dot at the beginning of a part, and the last one of a folder that is called like a
file of ours; an empty part is %0. So two keys have two files, and none is outside of DIR; of images of one
key the first has the file. A part that would be too long for a file system is cut, and ends in %~ and a
digest.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tfp_flows import runs
from tfp_flows.checks import files
from tfp_flows.checks.errors import UserError
from tfp_flows.data import streams
from tfp_flows.pages import heat
from tfp_flows.scoring.table import FOREIGN, ScoredImage, ScoringError

ALL, OUT = WHICH = ("all", "out")
SCALE_FILE = "scale.json"
ENDING = ".png"
_PLAIN = frozenset(" ._-+=@,()")
_LONGEST = 200  # bytes of a part; file systems take 255, and a temporary file's name is longer
_DIGITS = 32
_OURS = (ENDING, ".json")


class MappingScorer(Protocol):
    """A `Scorer` that may have maps."""

    def __call__(self, images: np.ndarray, /) -> dict[str, np.ndarray]:
        """The numbers of images uint8 `[B, H, W, C]`: a dict of arrays `[B]`."""

    @property
    def gives_p_values(self) -> bool:
        """Whether there are p-values, and so verdicts."""

    @property
    def num_calibration(self) -> int | None:
        """How many calibration images the p-values are of; None where there are none, or it is not known."""

    @property
    def map_scale(self) -> heat.Scale | None:
        """The scale of pictures of its maps, if it says one."""

    def check_map(self) -> None:
        """Raises `UserError` where there are no maps."""

    def score_map(self, images: np.ndarray, /) -> np.ndarray:
        """Where in images the score comes from: float32 `[B, H, W]`."""


class MapFiles:
    """The pictures of one job."""

    def __init__(self, scorer: MappingScorer, folder: str | os.PathLike, which: str, model: str):
        """Makes the folder.

        Args:
          scorer: What scores and has maps.
          folder: Where the pictures go.
          which: "all", or "out": those of images that are called out of distribution.
          model: Of which model they are, as a string; a folder holds those of one.

        Raises:
          ScoringError: If there are no verdicts to choose by, or the folder holds maps of another model.
          UserError: If there are no maps.
        """
        scorer.check_map()
        if which == OUT and not scorer.gives_p_values:
            raise ScoringError(
                f"`maps_of`: without p-values no image is called out of distribution: give {ALL}."
            )
        self._scorer = scorer
        self._folder = pathlib.Path(folder)
        self._which = which
        self._model = model
        self._scale = self._known_scale()

    def path_of(self, key: str) -> pathlib.Path:
        """The file of an image's picture."""
        return self._folder / relative_path(key)

    def has(self, key: str) -> bool:
        """Whether the picture is there."""
        return self.path_of(key).is_file()

    def write(self, items: Sequence[streams.Item], rows: Sequence[ScoredImage]) -> None:
        """Makes the pictures of those among scored images that are wanted and are not there yet."""
        wanted = [
            (item, row)
            for item, row in zip(items, rows, strict=True)
            if (self._which == ALL or row.verdict == FOREIGN) and not self.has(item.key)
        ]
        if not wanted:
            return
        first = {item.key: (item, row) for item, row in reversed(wanted)}
        chosen = list(first.values())[::-1]
        images = np.stack([item.image for item, _ in chosen if item.image is not None])
        maps = self._scorer.score_map(images)
        scale = self._scale or self._keep(self._scorer.map_scale or heat.scale_of(maps))
        for (item, row), image, values in zip(chosen, images, maps, strict=True):
            path = self.path_of(item.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            runs.write_atomically(path, heat.png(heat.pair(image, values, scale, _caption(row))))

    def _known_scale(self) -> heat.Scale | None:
        path = self._folder / SCALE_FILE
        try:
            noted = files.read_json(path)
            model, scale = noted["model"], heat.Scale(float(noted["low"]), float(noted["high"]))
        except FileNotFoundError:
            return None
        except (UserError, KeyError, TypeError, ValueError) as error:
            raise ScoringError(f"`maps`: {path} is damaged; remove it, or give another folder.") from error
        if model != self._model:
            raise ScoringError(f"`maps`: {self._folder} holds maps of another model; give another folder.")
        return scale

    def _keep(self, scale: heat.Scale) -> heat.Scale:
        self._folder.mkdir(parents=True, exist_ok=True)
        noted = {**scale._asdict(), "model": self._model, "caption": scale.caption}
        runs.write_atomically(self._folder / SCALE_FILE, json.dumps(noted, indent=2) + "\n")
        self._scale = scale
        return scale


def relative_path(key: str) -> pathlib.PurePosixPath:
    """The path of a key's picture within the folder: another one for every key."""
    *folders, name = (_escaped(part) for part in key.split("/"))
    return pathlib.PurePosixPath(*(_short(_of_folder(part)) for part in folders), _short(name) + ENDING)


def _of_folder(part: str) -> str:
    before, dot, after = part.rpartition(".")
    return f"{before}%2E{after}" if dot and f".{after.lower()}" in _OURS else part


def _escaped(part: str) -> str:
    if not part:
        return "%0"
    text = "".join(c if c.isalnum() or c in _PLAIN else _bytes_of(c) for c in part)
    return f"%2E{text[1:]}" if text.startswith(".") else text


def _bytes_of(character: str) -> str:
    try:
        raw = character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = character.encode("utf-8", "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in raw)


def _short(part: str) -> str:
    raw = part.encode()
    if len(raw) <= _LONGEST:
        return part
    digest = hashlib.sha256(raw).hexdigest()[:_DIGITS]
    return f"{raw[: _LONGEST - _DIGITS].decode('utf-8', 'ignore')}%~{digest}"


def _caption(row: ScoredImage) -> str:
    numbers = [(name, getattr(row, name)) for name in ("score", "p_value")]
    said = [f"{name} {value:.4g}" for name, value in numbers if value is not None]
    return ", ".join([row.key[-60:], *said, *([row.verdict] if row.verdict else [])])
