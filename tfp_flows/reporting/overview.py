"""What was found, in a few lines, before anything takes long."""

from collections.abc import Sequence

from tfp_flows import data

_USES = {
    "train": "to train on",
    "validation": "for validation",
    "calibration": "for calibration",
    "test": "to test",
}


def overview(own: Sequence[data.ImageSet], others: Sequence[data.ImageSet]) -> list[str]:
    """Lines for a person who wants to know whether the images are those that were meant.

        good@resize=32: 548 images to train on, 30 for validation, 140 for calibration, 82 to test; 32x32x3.
        strange@resize=32: 200 images to compare with.

    Args:
      own: Splits of the set that the model is trained on.
      others: The sets that it is compared with.

    Raises:
      DataError: If two sets have the same alias.
    """
    label = data.Labels([own[0].name, *(other.name for other in others)])
    counts = [f"{split.count} {_USES[split.split]}" for split in own]
    first, *rest = counts
    shape = "x".join(map(str, own[0].image_shape))
    lines = [f"{label(own[0].name)}: {', '.join([first.replace(' ', ' images ', 1), *rest])}; {shape}."]
    lines += [f"{label(other.name)}: {other.count} images to compare with." for other in others]
    return lines
