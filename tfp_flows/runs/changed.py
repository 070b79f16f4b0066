"""Whether a run's images are still those that it was trained on."""

import os
import warnings

from tfp_flows import data
from tfp_flows.runs.run import Run
from tfp_flows.runs.spec import RunSpec
from tfp_flows.runs.trained_on import TrainedOn


def warn_of_changed_images(
    run: Run, spec: RunSpec, data_dir: str | os.PathLike | None = None, download: bool = False
) -> None:
    """Warns (`data.DataWarning`) where the training images of a run are not those that it was trained on.

    Says nothing of a run that does not know what it was trained on, as those of version 0.1 do not.

    Args:
      run: The run.
      spec: Its `RunSpec`, with the name by which its images are found now.
      data_dir: As for `data.load`.
      download: As for `data.load`.

    Raises:
      DataError: If the images are not to be had.
      RunError: If the run's files are damaged.
    """
    if run.trained_on() is None or not spec.dataset:
        return
    there = data.load(
        spec.dataset,
        "train",
        data_dir=data_dir,
        download=download,
        image_shape=spec.image_shape,
        division=spec.division,
        skip_unreadable=spec.skip_unreadable,
    )
    warn_of_changed_examples(run, spec, there.images)


def warn_of_changed_examples(run: Run, spec: RunSpec, there: data.Array) -> None:
    """The same of training examples that are at hand, such as the rows of a table.

    Args:
      run: The run.
      spec: Its `RunSpec`, with the name by which they are found now.
      there: What would be trained on now, `[N, ...]`.

    Raises:
      RunError: If the run's files are damaged.
    """
    before = run.trained_on()
    changed = before.difference(TrainedOn.of(there), in_order=False) if before else ""
    if changed:
        what = "rows" if spec.is_of_tables else "images"
        warnings.warn(
            f"{spec.dataset}: the training {what} are not those that {run.folder} was trained on: "
            f"{changed}.",
            data.DataWarning,
            stacklevel=3,
        )
