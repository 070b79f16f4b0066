"""Which runs belong together: of one model, on the same data."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from analysis.errors import AnalysisError
from tfp_flows.data import names
from tfp_flows.runs import Run, RunError, RunSpec


def dataset_of(run: Run) -> str:
    """The name of a run's data where they lie now, or as it was written where they are nowhere."""
    try:
        return run.with_data().dataset
    except RunError:
        return run.spec().dataset


def same_model(one: RunSpec, other: RunSpec) -> bool:
    """Whether two runs' models differ in nothing but the seed."""
    return one.family == other.family and _without_seed(one.model) == _without_seed(other.model)


def _without_seed(config: Any) -> Any:
    return dataclasses.replace(config, seed=0)


def check_ensemble(runs: Sequence[Run]) -> None:
    """Checks that runs differ in their seeds alone.

    Raises:
      AnalysisError: If there is one run alone, or two differ in more, or have one seed.
    """
    specs = [run.spec() for run in runs]
    if len(runs) < 2:
        raise AnalysisError("`ensemble`: name at least two runs.")
    for run, spec in zip(runs[1:], specs[1:], strict=True):
        same_data = names.identity(dataset_of(run)) == names.identity(dataset_of(runs[0]))
        if not (same_model(spec, specs[0]) and same_data):
            raise AnalysisError(
                f"`ensemble`: {run.folder} has other settings or data than {runs[0].folder}."
            )
    seeds = [spec.training["seed"] for spec in specs]
    if len(set(seeds)) < len(seeds):
        raise AnalysisError(f"`ensemble`: two runs have the same seed ({', '.join(map(str, seeds))}).")
