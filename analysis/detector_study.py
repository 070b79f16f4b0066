"""Scores of many detectors on the same images, each kept in a cache under what it depends on."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from analysis import separation
from analysis.cache import Cache
from analysis.detector_candidates import Candidate
from tfp_flows import data, detectors
from tfp_flows.data import names
from tfp_flows.detectors import calibration
from tfp_flows.distributions.protocols import DensityModel
from tfp_flows.runs import Run, load_model

ALPHA = 0.05
FIT, CALIBRATION, TEST = "validation", "calibration", "test"
CACHE_FORMAT = 2


@dataclasses.dataclass(frozen=True)
class Result:
    """What a detector makes of a foreign set.

    Attributes:
      candidate: Which.
      foreign: Name of the set.
      counts: (own, foreign) test images.
      num_fit: Images that it was fitted to.
      num_calibration: Images that it was calibrated with.
      separation: `separation.Separation`.
      false_alarms: Share of the own test images called out of distribution at p <= 0.05; None where no
        p-value against so few calibration images can be that small.
      detected: Share of the foreign ones, or None.
      seconds: For an image, as measured when the cache was filled.
      threshold: The score above which p <= 0.05; None where no p-value can be that small.
    """

    candidate: Candidate
    foreign: str
    counts: tuple[int, int]
    num_fit: int
    num_calibration: int
    separation: separation.Separation
    false_alarms: float | None
    detected: float | None
    seconds: float
    threshold: float | None = None


class DetectorStudy:
    """Detectors fitted, calibrated and scored. What the cache holds is not computed again."""

    def __init__(
        self,
        own: str,
        image_shape: tuple[int, ...],
        cache: Cache,
        trained_on: Sequence[str] = (),
        **where: Any,
    ):
        """Names the data.

        Args:
          own: Name of the in-distribution set.
          image_shape: (H, W, C).
          cache: `cache.Cache`.
          trained_on: Names of further sets that a run saw in training.
          **where: `data_dir`, `download`, and, as the runs have them, `division` and `skip_unreadable` of
            `data.load`.
        """
        self.own = own
        self._cache = cache
        defaults = {"data_dir": None, "download": False, "division": data.DIVISION}
        self._where: dict[str, Any] = {**defaults, **where, "image_shape": image_shape}
        self._trained_on = (own, *trained_on)
        self._models: dict[Run, DensityModel] = {}

    def images(self, name: str, split: str, limit: int | None) -> data.ImageSet:
        """Images of a set in the model's shape; for `TEST` all of a set that no model can know."""
        return data.load(name, self.judged(name, split), max_images=limit, **self._where)

    def judged(self, name: str, split: str) -> str:
        """The split that is loaded."""
        return data.evaluation_split(name, self._trained_on) if split == TEST else split

    def model(self, run: Run) -> DensityModel:
        """The model of a run, loaded once."""
        if run not in self._models:
            self._models[run] = load_model(run)[0]
        return self._models[run]

    def result(self, candidate: Candidate, foreign: str, progress: bool = False) -> Result:
        """`Result` of a candidate on the test images of the set `foreign`."""
        scorer = _Scorer(self, candidate, progress)
        detector = scorer.detector()
        own, seconds = scorer.statistics(self.own, TEST)
        other, _ = scorer.statistics(foreign, TEST)
        scores = [detector.formula(statistics) for statistics in (own, other)]
        held_out = detector.conformal.known_scores()
        limit = calibration.threshold(ALPHA, np.sort(held_out))
        false_alarms, detected = (separation.share_called(detector.conformal, s, ALPHA) for s in scores)
        return Result(
            candidate=candidate,
            foreign=foreign,
            counts=(len(own), len(other)),
            num_fit=len(scorer.statistics(self.own, FIT)[0]),
            num_calibration=len(held_out),
            separation=separation.separation(scores[0], scores[1]),
            false_alarms=false_alarms,
            detected=detected,
            seconds=seconds,
            threshold=limit if np.isfinite(limit) else None,
        )

    def scores(self, candidate: Candidate, name: str) -> np.ndarray:
        """The scores of a set's test images, float32 `[N]`."""
        scorer = _Scorer(self, candidate, False)
        return scorer.detector().formula(scorer.statistics(name, TEST)[0])

    def log_probs(self, candidate: Candidate, name: str, split: str) -> np.ndarray:
        """log p of a set's images `[N]`, for a candidate whose statistic that is."""
        return _Scorer(self, candidate, False).statistics(name, split)[0][:, 0]

    def fitted(self, candidate: Candidate) -> detectors.Detector:
        """The fitted detector on its models, ready to score any image."""
        detector = self.build(candidate)
        detector.fitted.update(_Scorer(self, candidate, False).detector().fitted)
        return detector

    def build(self, candidate: Candidate) -> detectors.Detector:
        """A new, unfitted detector, with models whose weights are loaded."""
        return candidate.kind.of_models([self.model(run) for run in candidate.runs], candidate.settings)


class _Scorer:
    """One candidate's statistics, from the cache or computed."""

    def __init__(self, study: DetectorStudy, candidate: Candidate, progress: bool):
        self._study = study
        self._candidate = candidate
        self._progress = progress
        self._detector: detectors.Detector | None = None

    def detector(self) -> detectors.Detector:
        """The detector, fitted and calibrated from cached statistics; it has no models."""
        candidate = self._candidate
        detector = candidate.kind.without_models(candidate.settings)
        detector.fitted.update(self._prepared())
        own, most = self.statistics(self._study.own, FIT)[0], detector.most_training_images
        if most > len(own):
            detector.fitted.update(self._fitted_besides(own, most))
        else:
            detector.fit_statistics(own)
        held_out, _ = self.statistics(self._study.own, CALIBRATION)
        detector.conformal.calibrate(detector.formula(held_out))
        return detector

    def _fitted_besides(self, statistics: np.ndarray, most: int) -> dict[str, np.ndarray]:
        """What is fitted to images that the models were trained on besides, as `tfp_flows.detect` does."""
        candidate, study = self._candidate, self._study

        def compute():
            detector = study.build(candidate)
            training = np.asarray(study.images(study.own, "train", most).images)
            detector.see_training_images(training if len(training) > len(statistics) else None)
            detector.fit_statistics(statistics)
            return dict(detector.fitted)

        chosen = {"detector": candidate.kind.name, "settings": candidate.settings}
        key = {"fit": self._identify(study.own, FIT), "training": self._identify(study.own, "train", most)}
        return self._cached("fitted", compute, **key, chosen=chosen)

    def statistics(self, name: str, split: str) -> tuple[np.ndarray, float]:
        """(statistics `[N, S]`, seconds for an image) of a set."""
        candidate = self._candidate

        def compute():
            images = self._images(name, split)
            label = f"{candidate.label}: {name} ({split})" if self._progress else None
            values, seconds = self._ready().statistics.timed(images, label)
            return {"statistics": values, "seconds": seconds}

        key: dict[str, dict] = {"data": self._identify(name, split)}
        if candidate.kind.prepares:
            key["fit"] = self._identify(self._study.own, FIT)
        found = self._cached("statistics", compute, **key)
        return found["statistics"], float(found["seconds"])

    def _prepared(self) -> dict[str, np.ndarray]:
        """What statistics depend on, for detectors that `prepare`."""
        if not self._candidate.kind.prepares:
            return {}

        def compute():
            detector = self._study.build(self._candidate)
            detector.prepare(self._images(self._study.own, FIT))
            return dict(detector.fitted)

        return self._cached("prepared", compute, fit=self._identify(self._study.own, FIT))

    def _ready(self) -> detectors.Detector:
        """A detector that can compute statistics."""
        if self._detector is None:
            self._detector = self._study.build(self._candidate)
            self._detector.fitted.update(self._prepared())
        return self._detector

    def _images(self, name: str, split: str) -> np.ndarray:
        return np.asarray(self._study.images(name, split, self._candidate.limit).images)

    def _cached(self, stage: str, compute: Callable[[], dict], **key: dict) -> dict[str, np.ndarray]:
        candidate = self._candidate
        name, settings = candidate.kind.identity_of_statistics(candidate.settings)
        identity = {
            "format": CACHE_FORMAT,
            "statistics": name,
            "settings": settings,
            "runs": [
                {**run.spec().to_json(), "checkpoint": run.checkpoint_digest()} for run in candidate.runs
            ],
        }
        return self._study._cache.get(stage, {**identity, **key}, compute)

    def _identify(self, name: str, split: str, limit: int | None = None) -> dict:
        where = dict(self._study._where)
        print_ = data.fingerprint(name, where.pop("data_dir"), where.pop("download"))
        return {
            "name": names.understood(name).text,
            "split": self._study.judged(name, split),
            "limit": limit or self._candidate.limit,
            "fingerprint": print_,
            **{key: str(value) for key, value in where.items()},
        }
