"""The sets that a run is judged on; nothing here needs TensorFlow."""

from collections.abc import Sequence
from typing import Any

from tfp_flows import data
from tfp_flows.data import names
from tfp_flows.runs import RunError, RunSpec


def load_sets(
    spec: RunSpec,
    named: Sequence[str],
    data_dir: str | None = None,
    download: bool = False,
    max_images: int | None = None,
) -> list[data.ImageSet]:
    """The sets that a run is judged on: its own test images, as many training ones, and the named.

    Args:
      spec: `runs.RunSpec`.
      named: Names as in `tfp_flows.data`; of each the split that `data.evaluation_split` says: all images of
        a folder or an archive without test images of its own, unless the run was trained on others of it. A
        name without operations of its own gets those of the run.
      data_dir: Folder of data sets in TFDS layout.
      download: Whether TFDS may download what is missing.
      max_images: Largest number of images of each set, a fixed random sample; None for all.

    Returns:
      List of `data.ImageSet`, all of the run's image shape.

    Raises:
      DataError: If one cannot be loaded or has another shape.
      RunError: If the run does not say what it was trained on.
    """
    if not spec.dataset:
        raise RunError(
            "`run`: it was trained on arrays without a name; tfp_flows.fit takes it as `dataset`."
        )
    shared: dict[str, Any] = dict(
        data_dir=data_dir,
        download=download,
        image_shape=spec.image_shape,
        division=spec.division,
        skip_unreadable=spec.skip_unreadable,
    )
    trained_on = names_trained_on(spec)
    preparation = spec.preparation
    written = {names.with_operations(name, preparation.text): name for name in named}
    others = other_names(spec.dataset, list(written))
    data.Labels([spec.dataset, *others])  # which refuses two sets of one alias
    own = data.load(spec.dataset, "test", max_images=max_images, **shared)
    sets = [own, data.load(spec.dataset, "train", max_images=len(own), **shared)]
    for name in others:
        split = data.evaluation_split(name, trained_on)
        prepared = dict(shared, preparation=preparation)
        sets.append(data.load(written[name], split, max_images=max_images, **prepared))
    return sets


def names_trained_on(spec: RunSpec) -> list[str]:
    """The names of the sets that a run saw in training, outliers included."""
    outliers = spec.training.get("outlier_dataset", "").split("+")
    return [name for name in (spec.dataset, *outliers) if name]


def other_names(own: str, named: Sequence[str]) -> list[str]:
    """The names that mean another set than `own`, each set once, however it is spelled."""
    found = {names.identity(name): name for name in reversed(named)}
    found.pop(names.identity(own), None)
    return list(reversed(found.values()))
