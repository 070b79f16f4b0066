"""Whether runs hold out the same images; nothing here needs TensorFlow."""

from collections.abc import Sequence

from tfp_flows.data import names
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.runs import Run


def check_divisions(runs: Sequence[Run]) -> None:
    """Refuses runs that were trained on what the first of them holds out.

    Raises:
      DetectorError: If two runs of one set divide it in different ways.
      RunError: If there is no run.
    """
    first, *others = [run.spec() for run in runs]
    for run, spec in zip(runs[1:], others, strict=True):
        named = first.dataset and spec.dataset
        if named and spec.division != first.division and names.same_source(first.dataset, spec.dataset):
            raise DetectorError(
                f"`run`: {runs[0].folder} holds out other images of {first.dataset} (division "
                f"{first.division}) than {run.folder} (division {spec.division}), which was trained on most "
                f"of them; take runs of one division."
            )
