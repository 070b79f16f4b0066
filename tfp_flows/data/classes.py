"""The classes that a set of images is labelled with: their names, and how often each is."""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np

from tfp_flows.data.errors import DataError, DataWarning
from tfp_flows.data.image_set import ImageSet

UNKNOWN = -1  # the index of an image without a label, or with that of none of the classes
MOST = 2**20  # classes that a file may name


@dataclasses.dataclass(frozen=True)
class Classes:
    """Classes 0..K-1 in the order of their labels, by their names.

    A class is known by its name, that of a folder or of TFDS, so that it is found again in a set whose
    labels count otherwise. Where labels have no names, they are their own.

    Attributes:
      names: K of them, each once.
      counts: How many training images each has, at least one.

    Raises:
      DataError: If the attributes are not of this kind.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        """Checks the attributes."""
        if not self.names or len(set(self.names)) < len(self.names) or len(self.names) > MOST:
            raise DataError(f"classes need names, each once, got {self.names[:8]}")
        if len(self.counts) != len(self.names) or min(self.counts) < 1:
            raise DataError(f"each of {len(self.names)} classes needs its count, got {self.counts[:8]}")

    @classmethod
    def of(cls, image_set: ImageSet) -> "Classes":
        """The classes of a set's labels, of which there are two at least.

        Raises:
          DataError: If it has no labels, or all images have the same.
        """
        found = _names(image_set)
        if found is None:
            raise DataError(
                f"{image_set.name}: its images have no labels: those of a folder are its subfolders, those "
                f"of an archive arrays such as train_labels; photos and tfrecord: have none"
            )
        of_labels, labels = found
        values, counts = np.unique(labels, return_counts=True)
        named: dict[str, int] = {}
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            named[of_labels[value]] = named.get(of_labels[value], 0) + count
        if len(named) < 2:
            raise DataError(f"{image_set.name}: all its images have one label, {next(iter(named))!r}")
        return cls(tuple(named), tuple(named.values()))

    def __len__(self) -> int:
        """K."""
        return len(self.names)

    def indices(self, image_set: ImageSet) -> np.ndarray:
        """The class of each image, int64 `[N]`, 0..K-1; `UNKNOWN` where it has none of them."""
        found = _names(image_set)
        if found is None:
            return np.full([len(image_set)], UNKNOWN, np.int64)
        of_labels, labels = found
        values, inverse = np.unique(labels, return_inverse=True)
        numbers = {name: number for number, name in enumerate(self.names)}
        of_values = [numbers.get(of_labels[value], UNKNOWN) for value in values.tolist()]
        return np.array(of_values, np.int64)[inverse.reshape(-1)]

    def only(self, image_set: ImageSet) -> ImageSet:
        """The images that have one of the classes; a warning (`DataWarning`) says how many have not.

        Raises:
          DataError: If none has.
        """
        known = self.indices(image_set) != UNKNOWN
        if known.all():
            return image_set
        if not known.any():
            raise DataError(
                f"{image_set.name}: none of its {image_set.split} images has a label of the training images"
            )
        warnings.warn(
            f"{image_set.name}: {np.sum(~known):,} of {len(image_set):,} {image_set.split} images have "
            f"labels that no training image has, and are left out.",
            DataWarning,
            stacklevel=2,
        )
        return image_set.select(known.nonzero()[0])

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {"names": list(self.names), "counts": list(self.counts)}

    @classmethod
    def from_json(cls, values: Any) -> "Classes":
        """The reverse of `to_json`.

        Raises:
          DataError: If it is nothing of that kind.
        """
        names = values.get("names") if isinstance(values, dict) else None
        counts = values.get("counts") if isinstance(values, dict) else None
        if not (_all_of(names, str) and _all_of(counts, int)):
            raise DataError(f"classes are names and counts, got {str(values)[:80]}")
        return cls(tuple(names), tuple(counts))


def _all_of(values: Any, kind: type) -> TypeGuard[list]:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def _names(image_set: ImageSet) -> tuple[Mapping[int, str], np.ndarray] | None:
    """({label: name}, labels `[N]`); None of a set without labels."""
    labels = image_set.labels
    if labels is None:
        return None
    known = image_set.label_names or ()
    values = np.unique(labels).tolist()
    return {v: known[v] if 0 <= v < len(known) else str(v) for v in values}, labels
