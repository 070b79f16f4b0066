"""What was found, in a few lines, before anything takes long."""

import dataclasses
import itertools
from collections.abc import Sequence

from tfp_flows import data
from tfp_flows.detectors import calibration

_USES = {
    "train": "to train on",
    "validation": "for validation",
    "calibration": "for calibration",
    "test": "to test",
}


def overview(
    own: Sequence[data.ImageSet],
    others: Sequence[data.ImageSet],
    operations: str = "",
    alpha: float | None = None,
) -> list[str]:
    """Lines for a person who wants to know whether the images are those that were meant.

        good: 548 images to train on, 30 for validation, 9 for calibration, 8 to test; 32x32x3 (@resize=32).
          800 pictures of 48x52 to 197x200, median 121x124 (800 RGB)
          1 turned as EXIF says
        strange: 200 images to compare with.
          200 pictures of 49x48 to 200x198, median 120x125 (200 RGB)

    Args:
      own: Splits of the set that the model is trained on.
      others: The sets that it is compared with.
      operations: Those of the model's own data, which are said once.
      alpha: The level at which a detector will call images foreign, which takes calibration images enough;
        None where there will be none.

    Raises:
      DataError: If two sets have the same alias.
    """
    names = [own[0].name, *(other.name for other in others)]
    full = list(map(data.Labels(names), names))
    labels = dict(zip(names, plain(full, operations).values(), strict=True))
    counts = [f"{split.count} {_USES[split.split]}" for split in own]
    first, *rest = counts
    shape = "x".join(map(str, own[0].image_shape))
    shape += f" ({operations})" * bool(operations)
    lines = [f"{labels[names[0]]}: {', '.join([first.replace(' ', ' images ', 1), *rest])}; {shape}."]
    lines += read(own)
    held_out = next((len(split) for split in own if split.split == "calibration"), 0)
    if alpha is not None and not calibration.attainable(alpha, held_out):
        lines.append(f"  Nothing will be called foreign: {calibration.unattainable(alpha, held_out)}")
    for other in others:
        lines += [f"{labels[other.name]}: {other.count} images to compare with.", *read([other])]
    return lines


def plain(labels: Sequence[str], operations: str) -> dict[str, str]:
    """Labels without the operations of the model's own data at their end, where that leaves them apart."""
    shorter = {label: label.removesuffix(operations) for label in labels}
    return shorter if len(set(shorter.values())) == len(shorter) else {label: label for label in labels}


def read(splits: Sequence[data.ImageSet]) -> list[str]:
    """What was found where the pictures of a set's splits were read, and what was done with them."""
    readings = [split.reading for split in splits if split.reading is not None]
    if not readings:
        return []
    facts = tuple(itertools.chain.from_iterable(reading.facts for reading in readings))
    skipped = sorted(set(itertools.chain.from_iterable(reading.skipped for reading in readings)))
    whole = dataclasses.replace(readings[0], facts=facts, skipped=tuple(skipped))
    return [f"  {line}" for line in whole.lines()]
