"""Which detectors are compared: every one that some runs allow."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from analysis import kinship
from analysis.errors import AnalysisError
from tfp_flows import detectors
from tfp_flows.distributions.protocols import DensityModel, LatentVariableModel, is_flow
from tfp_flows.runs import Run, load_model

PROBES = 2  # of the estimated local intrinsic dimension, where a Jacobian is too large to be counted exactly
LARGEST_JACOBIAN = 1024


@dataclasses.dataclass(frozen=True)
class Limits:
    """How many images of each set are scored, by what a score costs.

    Attributes:
      fast: Where it takes a pass or a few through the model: a detector's `cost` is "fast".
      slow: Where each image needs gradients, or an optimisation: "slow".
      jacobian: Where each image needs a Jacobian: "jacobian".
    """

    fast: int | None = None
    slow: int = 1000
    jacobian: int = 200


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """A detector to be compared.

    Attributes:
      title: As in tables.
      run: Name of the model's run, or a word where there is none.
      kind: Its class.
      settings: Its settings.
      runs: The runs of its density models.
      limit: Largest number of images of a set.
      run_dataset: What its models were trained on; None without models.
      outliers: Outlier sets and kinds that a model was trained beside, or "".
    """

    title: str
    run: str
    kind: type[detectors.Detector]
    settings: dict
    runs: tuple[Run, ...]
    limit: int | None
    run_dataset: str | None = None
    outliers: str = ""

    @property
    def label(self) -> str:
        """Title and run."""
        return f"{self.title}, {self.run}"


@dataclasses.dataclass(frozen=True)
class Roles:
    """Which runs play which part.

    Attributes:
      bases: Runs that are judged.
      ensemble: Runs of one configuration with different seeds.
      backgrounds: Runs trained on mutated images.
      outlier_exposed: Runs trained beside outliers.
    """

    bases: tuple[Run, ...]
    ensemble: tuple[Run, ...] = ()
    backgrounds: tuple[Run, ...] = ()
    outlier_exposed: tuple[Run, ...] = ()


def candidates(
    roles: Roles,
    limits: Limits,
    image_shape: tuple[int, ...],
    with_critics: bool = True,
    load: Callable[[Run], DensityModel] | None = None,
) -> list[Candidate]:
    """Every detector that these runs allow.

    Args:
      roles: `Roles`.
      limits: `Limits`.
      image_shape: (H, W, C).
      with_critics: Whether to train the ensemble of critics.
      load: Gives a run's model, as `DetectorStudy.model`; None to load it here.

    Returns:
      List of `Candidate`.

    Raises:
      AnalysisError: If runs do not fit their part.
    """
    load = load or (lambda run: load_model(run)[0])
    found = []
    for run in roles.bases:
        found += _of_run(run, load(run), roles.backgrounds, limits, image_shape)
    if roles.ensemble:
        kinship.check_ensemble(roles.ensemble)
        name = f"{len(roles.ensemble)} seeds of {roles.ensemble[0].folder.name}"
        found.append(_candidate("WAIC", detectors.WAIC, {}, roles.ensemble, limits, name))
    for run in roles.outlier_exposed:
        named = (run.spec().training.get(name) for name in ("outlier_dataset", "outlier_kinds"))
        outliers = "+".join(filter(None, named))
        if not outliers:
            lacks = "was trained without `outlier_dataset` and `outlier_kinds`"
            raise AnalysisError(f"`outlier_exposed`: {run.folder} {lacks}.")
        found.append(
            _candidate("outlier exposure", detectors.OutlierExposure, {}, [run], limits, outliers=outliers)
        )
    if with_critics:
        settings = {"image_shape": list(image_shape)}
        found.append(_candidate("critics", detectors.Critics, settings, [], limits, "no density"))
    return found


def _of_run(
    run: Run,
    model: DensityModel,
    backgrounds: Sequence[Run],
    limits: Limits,
    image_shape: tuple[int, ...],
) -> list[Candidate]:
    spec = run.spec()
    simple: list[tuple[str, type[detectors.Detector], dict]] = [
        ("likelihood", detectors.Likelihood, {}),
        ("typicality", detectors.Typicality, {}),
        ("density of states (KDE)", detectors.DensityOfStates, {"density": "kde"}),
        ("density of states (SVM)", detectors.DensityOfStates, {"density": "svm"}),
        ("input complexity (PNG)", detectors.InputComplexity, {"compressor": "png"}),
        ("input complexity (JPEG XL)", detectors.InputComplexity, {"compressor": "jpegxl"}),
        ("input complexity (best of 4)", detectors.InputComplexity, {"compressor": "best"}),
        ("default", detectors.Default, {}),
    ]
    found = [_candidate(title, kind, settings, [run], limits) for title, kind, settings in simple]
    own = [b for b in backgrounds if kinship.same_model(b.spec(), spec)]
    for background in own:
        if not background.spec().training.get("mutation_rate"):
            raise AnalysisError(f"`backgrounds`: {background.folder} was trained without `mutation_rate`.")
    if own:
        found.append(
            _candidate(
                "likelihood ratio", detectors.LikelihoodRatio, {}, [run, *own], limits, run.folder.name
            )
        )
    found.append(_candidate("gradient norms", detectors.GradientNorms, {}, [run], limits))
    found.append(_candidate("score test", detectors.ScoreTest, {}, [run], limits))
    if isinstance(model, LatentVariableModel):
        found.append(_candidate("likelihood regret", detectors.LikelihoodRegret, {}, [run], limits))
        found.append(_candidate("likelihood path", detectors.LikelihoodPath, {}, [run], limits))
    if is_flow(model):
        exact = int(np.prod(image_shape)) <= LARGEST_JACOBIAN
        settings = {"num_probes": None if exact else PROBES}
        title = "local intrinsic dimension" + ("" if exact else " (estimated)")
        found.append(_candidate(title, detectors.LocalIntrinsicDimension, settings, [run], limits))
        found.append(_candidate("second order", detectors.SecondOrder, {}, [run], limits))
        found.append(
            _candidate("SITN (the paper's tests)", detectors.SITN, {"tests": "paper"}, [run], limits)
        )
        found.append(_candidate("SITN (all tests)", detectors.SITN, {"tests": "all"}, [run], limits))
    return found


def _candidate(
    title: str,
    kind: type[detectors.Detector],
    settings: dict,
    runs: Sequence[Run],
    limits: Limits,
    run_name: str | None = None,
    outliers: str = "",
) -> Candidate:
    return Candidate(
        title=title,
        run=run_name or runs[0].folder.name,
        kind=kind,
        settings=settings,
        runs=tuple(runs),
        limit=getattr(limits, kind.cost),
        run_dataset=kinship.dataset_of(runs[0]) if runs else None,
        outliers=outliers,
    )
