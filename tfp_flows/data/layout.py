"""Which subfolders of a folder are splits of its own.

They are those called `train` or `training`; `val`, `valid`, `validation` or `dev`; `calibration`; `test` or
`testing`, in any case. What nearly fits is refused: such a subfolder beside other images, two of one split,
or one that is called `tests` or `train_images`. Then whoever made the folder meant some of its images to be
kept apart, and a guess would train on them.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfp_flows.data.errors import DataError

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "calibration": "calibration",
    "test": "test",
    "testing": "test",
}
_NEARLY = re.compile(
    r"((x|data|images?|imgs?|pictures?)[-_. ]?)?"
    r"(train(ing|ed)?|val(id(ation|ate)?s?)?|dev(el(opment)?)?|calib(ration)?|tests?|testing"
    r"|eval(uation)?|h[oe]ld[-_. ]?out)"
    r"([-_. ]?(sets?|data|splits?|parts?|folder|images?|imgs?|pictures?|x|[0-9]+))*",
    re.IGNORECASE,
)


def official_splits(path: str, files: Sequence[str]) -> dict[str, list[str]]:
    """The files of each split that a folder has of its own.

    Args:
      path: The folder; `~` is expanded.
      files: All its images, relative paths with slashes.

    Returns:
      The files of "train", "validation", "calibration" and "test", as far as there is a subfolder for them;
      of "train" alone, all of them, where there is no such subfolder.

    Raises:
      DataError: If the subfolders nearly fit.
    """
    root = Path(path).expanduser()
    if root.is_file():
        return {"train": list(files)}
    images: dict[str, list[str]] = {}
    for file in files:
        top, slash, _ = file.partition("/")
        images.setdefault(top if slash else "", []).append(file)
    named = {
        top.name: _SPLITS[top.name.lower()]
        for top in sorted(root.iterdir())
        if is_official(top.name) and top.is_dir()
    }
    others = [top for top in images if top not in named]
    nearly = any(_NEARLY.fullmatch(top) for top in others)
    if nearly or (named and others) or len(set(named.values())) < len(named):
        raise DataError(_refusal(path, named, images))
    if not named:
        return {"train": list(files)}
    return {split: images.get(top, []) for top, split in named.items()}


def labels_of(files: Sequence[str], all_files: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """The classes of images that lie in subfolders: `CLASS/x.png`, or `train/CLASS/x.png` of a split.

    Args:
      files: Those that are labelled, relative paths with slashes.
      all_files: All images of the folder.

    Returns:
      (int64 `[N]` labels, names of the classes in ascending order, which the labels count), those of all
      splits; None where some of the files lie in no subfolder, or there is one class alone.
    """
    tops = {file.partition("/")[0] for file in all_files if "/" in file}
    divided = bool(tops) and all(map(is_official, tops)) and all("/" in file for file in all_files)
    found = [_class(file, divided) for file in files]
    names = tuple(sorted({_class(file, divided) for file in all_files} - {""}))
    if "" in found or len(names) < 2:
        return None
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[each] for each in found], np.int64), names


def _class(file: str, divided: bool) -> str:
    """The first subfolder that is no split; "" where there is none."""
    return "/".join(file.split("/")[divided:-1]).partition("/")[0]


def is_official(name: str) -> bool:
    """Whether a subfolder of this name is a split of its own."""
    return name.lower() in _SPLITS


def _refusal(path: str, named: dict[str, str], images: dict[str, list[str]]) -> str:
    tops = sorted({*named, *images} - {""}, key=lambda top: (not is_official(top), top))
    found = [f"{top}/ ({len(images.get(top, []))})" for top in tops]
    shown = found if len(found) <= 8 else [*found[:7], f"{len(found) - 7} more folders"]
    if "" in images:
        shown.append(f"{len(images[''])} image(s) beside them")
    return (
        f"folder:{path}: looks divided, but is not clearly so: found {', '.join(shown)}; call its "
        "subfolders train, val and test, each at most once, with no image elsewhere, or give them other "
        "names"
    )
