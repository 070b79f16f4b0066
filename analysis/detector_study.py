"""Scores of many detectors on the same images, each kept in a cache under what it depends on."""

import dataclasses
import functools

import numpy as np

from analysis import separation
from analysis.errors import AnalysisError
from tfp_flows import data, detectors
from tfp_flows.runs import load_model

ALPHA = 0.05
FIT, CALIBRATION, TEST = "validation", "calibration", "test"
PROBES = 2  # of the estimated local intrinsic dimension, where a Jacobian is too large to be counted exactly
LARGEST_JACOBIAN = 1024
CACHE_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Limits:
    """How many images of each set are scored, by what a score costs.

    Attributes:
      fast: Where it takes one pass through the model.
      slow: Where each image needs gradients, or an optimisation.
      jacobian: Where each image needs a Jacobian.
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
      outliers: Outlier sets that a model was trained beside, or "".
    """

    title: str
    run: str
    kind: type
    settings: dict
    runs: tuple
    limit: int | None
    run_dataset: str | None = None
    outliers: str = ""

    @property
    def label(self):
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

    bases: tuple
    ensemble: tuple = ()
    backgrounds: tuple = ()
    outlier_exposed: tuple = ()


def candidates(roles, limits, image_shape, with_critics=True):
    """Every detector that these runs allow.

    Args:
      roles: `Roles`.
      limits: `Limits`.
      image_shape: (H, W, C).
      with_critics: Whether to train the ensemble of critics.

    Returns:
      List of `Candidate`.

    Raises:
      AnalysisError: If runs do not fit their part.
    """
    found = []
    for run in roles.bases:
        found += _of_run(run, roles.backgrounds, limits, image_shape)
    if roles.ensemble:
        _check_ensemble(roles.ensemble)
        name = f"{len(roles.ensemble)} seeds of {roles.ensemble[0].folder.name}"
        found.append(_candidate("WAIC", detectors.WAIC, {}, roles.ensemble, limits.fast, name))
    for run in roles.outlier_exposed:
        outliers = run.spec().training.get("outlier_dataset", "")
        if not outliers:
            raise AnalysisError(f"--outlier_exposed: {run.folder} was trained without --outlier_dataset.")
        found.append(
            _candidate(
                "outlier exposure", detectors.OutlierExposure, {}, [run], limits.fast, outliers=outliers
            )
        )
    if with_critics:
        settings = {"image_shape": list(image_shape)}
        found.append(_candidate("critics", detectors.Critics, settings, [], limits.fast, "no density"))
    return found


def _of_run(run, backgrounds, limits, image_shape):
    spec = run.spec()
    simple = [
        ("likelihood", detectors.Likelihood, {}),
        ("typicality", detectors.Typicality, {}),
        ("density of states (KDE)", detectors.DensityOfStates, {"density": "kde"}),
        ("density of states (SVM)", detectors.DensityOfStates, {"density": "svm"}),
        ("input complexity (PNG)", detectors.InputComplexity, {"compressor": "png"}),
        ("input complexity (JPEG XL)", detectors.InputComplexity, {"compressor": "jpegxl"}),
        ("input complexity (best of 4)", detectors.InputComplexity, {"compressor": "best"}),
    ]
    found = [_candidate(title, kind, settings, [run], limits.fast) for title, kind, settings in simple]
    own = [b for b in backgrounds if _same_model(b.spec(), spec)]
    for background in own:
        if not background.spec().training.get("mutation_rate"):
            raise AnalysisError(f"--backgrounds: {background.folder} was trained without --mutation_rate.")
    if own:
        found.append(
            _candidate(
                "likelihood ratio", detectors.LikelihoodRatio, {}, [run, *own], limits.fast, run.folder.name
            )
        )
    found.append(_candidate("gradient norms", detectors.GradientNorms, {}, [run], limits.slow))
    found.append(_candidate("score test", detectors.ScoreTest, {}, [run], limits.slow))
    if spec.family == "vae":
        found.append(_candidate("likelihood regret", detectors.LikelihoodRegret, {}, [run], limits.slow))
    if spec.family == "glow":
        exact = int(np.prod(image_shape)) <= LARGEST_JACOBIAN
        settings = {"num_probes": None if exact else PROBES}
        title = "local intrinsic dimension" + ("" if exact else " (estimated)")
        found.append(_candidate(title, detectors.LocalIntrinsicDimension, settings, [run], limits.jacobian))
        found.append(_candidate("second order", detectors.SecondOrder, {}, [run], limits.fast))
    return found


def _candidate(title, kind, settings, runs, limit, run_name=None, outliers=""):
    return Candidate(
        title=title,
        run=run_name or runs[0].folder.name,
        kind=kind,
        settings=settings,
        runs=tuple(runs),
        limit=limit,
        run_dataset=runs[0].spec().dataset if runs else None,
        outliers=outliers,
    )


def _same_model(one, other):
    """Whether two runs' models differ in nothing but the seed."""
    return one.family == other.family and dataclasses.replace(one.model, seed=0) == dataclasses.replace(
        other.model, seed=0
    )


def _check_ensemble(runs):
    specs = [run.spec() for run in runs]
    if len(runs) < 2:
        raise AnalysisError("--ensemble: name at least two runs.")
    for run, spec in zip(runs[1:], specs[1:], strict=True):
        if not _same_model(spec, specs[0]) or spec.dataset != specs[0].dataset:
            raise AnalysisError(
                f"--ensemble: {run.folder} has other settings or data than {runs[0].folder}."
            )
    seeds = [spec.training["seed"] for spec in specs]
    if len(set(seeds)) < len(seeds):
        raise AnalysisError(f"--ensemble: two runs have the same seed ({', '.join(map(str, seeds))}).")


@dataclasses.dataclass(frozen=True)
class Result:
    """What a detector makes of a foreign set.

    Attributes:
      candidate: Which.
      foreign: Name of the set.
      counts: (own, foreign) test images.
      separation: `separation.Separation`.
      false_alarms: Share of the own test images called out of distribution at p <= 0.05.
      detected: Share of the foreign ones.
      seconds: For an image, as measured when the cache was filled.
    """

    candidate: Candidate
    foreign: str
    counts: tuple
    separation: separation.Separation
    false_alarms: float
    detected: float
    seconds: float


class DetectorStudy:
    """Detectors fitted, calibrated and scored. What the cache holds is not computed again."""

    def __init__(self, own, image_shape, cache, data_dir=None, download=False):
        """Names the data.

        Args:
          own: Name of the in-distribution set.
          image_shape: (H, W, C).
          cache: `cache.Cache`.
          data_dir: Folder of data sets in TFDS layout.
          download: Whether TFDS may download what is missing.
        """
        self.own = own
        self._cache = cache
        self._where = dict(data_dir=data_dir, download=download, image_shape=image_shape)
        self._load_model = functools.cache(lambda run: load_model(run)[0])

    def images(self, name, split, limit):
        """Images of a set in the model's shape."""
        return data.load(name, split, max_images=limit, **self._where)

    def result(self, candidate, foreign, progress=False):
        """`Result` of a candidate on the test images of the set `foreign`."""
        scorer = _Scorer(self, candidate, progress)
        detector = scorer.detector()
        own, seconds = scorer.statistics(self.own, TEST)
        other, _ = scorer.statistics(foreign, TEST)
        own, other = detector.score_statistics(own), detector.score_statistics(other)
        rates = [float((detector.p_value_of_scores(scores) <= ALPHA).mean()) for scores in (own, other)]
        return Result(
            candidate,
            foreign,
            (len(own), len(other)),
            separation.separation(own, other),
            *rates,
            seconds,
        )

    def scores(self, candidate, name):
        """The scores of a set's test images, float32 `[N]`."""
        scorer = _Scorer(self, candidate, False)
        return scorer.detector().score_statistics(scorer.statistics(name, TEST)[0])

    def log_probs(self, candidate, name, split):
        """log p of a set's images `[N]`, for a candidate whose statistic that is."""
        return _Scorer(self, candidate, False).statistics(name, split)[0][:, 0]

    def fitted(self, candidate):
        """The fitted detector on its models, ready to score any image."""
        detector = self.build(candidate)
        detector.fitted.update(_Scorer(self, candidate, False).detector().fitted)
        return detector

    def build(self, candidate):
        """A new, unfitted detector, with models whose weights are loaded."""
        return candidate.kind.of_models(
            [self._load_model(run) for run in candidate.runs], candidate.settings
        )


class _Scorer:
    """One candidate's statistics, from the cache or computed."""

    def __init__(self, study, candidate, progress):
        self._study = study
        self._candidate = candidate
        self._progress = progress
        self._detector = None

    def detector(self):
        """The detector, fitted and calibrated from cached statistics; it may have no model yet."""
        candidate = self._candidate
        fitted = candidate.kind.of_statistics(None, candidate.settings)
        fitted.fitted.update(self._prepared())
        fitted.fit_statistics(self.statistics(self._study.own, FIT)[0])
        return fitted.calibrate_scores(
            fitted.score_statistics(self.statistics(self._study.own, CALIBRATION)[0])
        )

    def statistics(self, name, split):
        """(statistics `[N, S]`, seconds for an image) of a set."""
        candidate = self._candidate

        def compute():
            images = self._images(name, split)
            label = f"{candidate.label}: {name} ({split})" if self._progress else None
            values, seconds = self._ready().timed_statistics(images, label)
            return {"statistics": values, "seconds": seconds}

        key = {"data": self._identify(name, split)}
        if candidate.kind.prepares:
            key["fit"] = self._identify(self._study.own, FIT)
        found = self._cached("statistics", compute, **key)
        return found["statistics"], float(found["seconds"])

    def _prepared(self):
        """What statistics depend on, for detectors that `prepare`."""
        if not self._candidate.kind.prepares:
            return {}

        def compute():
            detector = self._study.build(self._candidate)
            detector.prepare(self._images(self._study.own, FIT))
            return dict(detector.fitted)

        return self._cached("prepared", compute, fit=self._identify(self._study.own, FIT))

    def _ready(self):
        """A detector that can compute statistics."""
        if self._detector is None:
            self._detector = self._study.build(self._candidate)
            self._detector.fitted.update(self._prepared())
        return self._detector

    def _images(self, name, split):
        return self._study.images(name, split, self._candidate.limit).images

    def _cached(self, stage, compute, **key):
        candidate = self._candidate
        same = candidate.kind._graph_statistics is detectors.Detector._graph_statistics
        identity = {
            "format": CACHE_FORMAT,
            # Likelihood and typicality ask the model for the same.
            "statistics": "log_prob" if same else candidate.kind.name,
            "settings": {} if same else _statistics_settings(candidate),
            "runs": [
                {**run.spec().to_json(), "checkpoint": run.checkpoint_digest()} for run in candidate.runs
            ],
        }
        return self._study._cache.get(stage, {**identity, **key}, compute)

    def _identify(self, name, split):
        where = self._study._where
        return {
            "name": name,
            "split": split,
            "limit": self._candidate.limit,
            "shape": list(where["image_shape"]),
            "data_dir": str(where["data_dir"]),
            "fingerprint": data.fingerprint(name),
        }


def _statistics_settings(candidate):
    """The settings that statistics depend on: the density of the states is fitted after them."""
    return {k: v for k, v in candidate.settings.items() if k != "density"}
