"""A reproduction: its models, what they say of each set, and what detectors make of it, from the cache."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis import (
    cache,
    detector_candidates,
    reproduce_recipes,
    reproduce_scales,
    reproduce_sets,
    reproduce_training,
)
from analysis.detector_candidates import Candidate
from analysis.detector_study import DetectorStudy, Result
from analysis.reproduce_recipes import BACKGROUND, EXPOSED, JUDGED, MEMBER, Recipe
from analysis.reproduce_sets import OFFICIAL, Named
from analysis.reproduce_training import Model
from analysis.study import RunStudy, StudyConfig
from tfp_flows import data, evaluation
from tfp_flows.models import registry
from tfp_flows.numerics import quantization

FLOWS = ("glow", "cv_glow")  # those that are taken apart
GREY = "constant=128"  # a single image: no set to compare with


@dataclasses.dataclass(frozen=True)
class Config:
    """What is reproduced, and where.

    Attributes:
      experiment: Of `reproduce_recipes.EXPERIMENTS`.
      scale: Of `reproduce_scales.SCALES`.
      out: Folder of runs, cache and report.
      data_dir: Folder of data sets in TFDS layout.
      download: Whether TFDS may download what is missing.
      seeds: How often the headline model is trained.
      seed: Of models, probes, draws and samples.
      given: {name of a model: folder of a run to take instead of training one}.
    """

    experiment: str
    scale: str
    out: pathlib.Path
    data_dir: str | None = None
    download: bool = False
    seeds: int = 1
    seed: int = 0
    given: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Reproduction:
    """Models and numbers. Whatever is asked for is computed, or found in the cache.

    Attributes:
      config: `Config`.
      scale: `reproduce_scales.Scale`.
      experiment: `reproduce_recipes.Experiment`.
      where: `data_dir` and `download` of `data.load`.
      recipes: The models that are wanted.
      models: What became of each.
      cache: `analysis.cache.Cache` of all results but the models.
    """

    def __init__(self, config: Config) -> None:
        """Looks at which runs and which data there are; computes nothing.

        Raises:
          AnalysisError: If the experiment, the scale or a given run makes no sense.
        """
        self.config = config
        self.scale = reproduce_scales.scale_of(config.scale)
        self.experiment = reproduce_recipes.experiment_of(config.experiment)
        self.where: dict[str, Any] = {"data_dir": config.data_dir, "download": config.download}
        self.recipes = reproduce_recipes.recipes(config.experiment, config.scale, config.seeds, config.seed)
        for name in config.given:
            reproduce_recipes.named(self.recipes, name)  # refuses one that there is not
        self.models = reproduce_training.models_of(self.recipes, config.out, config.given, self.where)
        self.cache = cache.Cache(config.out / "cache")
        self._studies: dict[str, RunStudy] = {}
        self._notes: dict[Named, str] = {}
        self._results: dict[Candidate, Result] = {}

    def model(self, name: str) -> Model:
        """The model of a recipe's name."""
        return next(model for model in self.models if model.name == name)

    def judged(self) -> list[Model]:
        """The models whose likelihoods are compared."""
        return [model for model in self.models if model.recipe.role == JUDGED]

    def headline(self) -> list[Model]:
        """The same model with several seeds."""
        return [model for model in self.models if model.recipe.headline]

    def has(self, name: str) -> bool:
        """Whether there is a trained model of this name."""
        model = self.model(name)
        return model.is_done and not model.missing

    def study(self, name: str) -> RunStudy:
        """The study of a model that there is."""
        if name not in self._studies:
            model = self.model(name)
            found = RunStudy(model.run, self._study_config(model.recipe), self.cache)
            found.name = name
            try:
                found.choose_datasets()
            except (
                data.DataError
            ) as error:  # nothing to compare with is here: its own images are judged all the same
                found.left_out = {named.name: str(error) for named in model.recipe.others}
            self._studies[name] = found
        return self._studies[name]

    def studies(self, wanted: tuple[str, ...] | None = None) -> list[RunStudy]:
        """The studies of models that there are; of those named, or of all that are judged."""
        chosen = wanted if wanted is not None else tuple(model.name for model in self.judged())
        return [self.study(name) for name in chosen if self.has(name)]

    def why_not(self, name: str, key: str) -> str:
        """Why a model cannot be judged on a set, in a line, or ""; `key` is the set's TFDS name."""
        model = self.model(name)
        if model.missing or not model.is_done:
            return model.missing or "it is not trained yet: the stage train does it"
        other = next((named.name for named in model.recipe.others if named.key == key), None)
        return self.study(name).left_out.get(other, "") if other is not None else ""

    def data_note(self, named: Named) -> str:
        """What the images are that stand for a set; see `reproduce_sets.data_note`."""
        if named not in self._notes:
            missing = (
                reproduce_sets.why_missing(named.name, "test", self.where) if named.key in OFFICIAL else ""
            )
            self._notes[named] = "not here" if missing else reproduce_sets.data_note(named, self.where)
        return self._notes[named]

    def set_name(self, name: str, key: str) -> str:
        """The images that stand for a set of the paper when this model is judged."""
        recipe = self.model(name).recipe
        if key == recipe.dataset.key:
            return self.study(name).spec.dataset
        return next(named.name for named in recipe.others if named.key == key)

    def bits(self, name: str, key: str, split: str = "test") -> np.ndarray:
        """Bits per dimension `[N]` of a set under a model."""
        found = self.study(name)
        if split == "train":
            values = found.training_log_probs()
        else:
            values = found.log_probs(key if key == GREY else self.set_name(name, key))
        return quantization.bits_per_dim(values, found.spec.image_shape)

    def auroc(self, name: str, key: str) -> tuple[float, float | None, float | None]:
        """(AUROC of -log P, low, high) of a set as the positive class under a model."""
        if key == GREY:
            own = self.bits(name, self.model(name).recipe.dataset.key)
            return evaluation.auroc(own, self.bits(name, key), num_bootstrap=0)
        return self.study(name).auroc(self.set_name(name, key))

    @functools.cached_property
    def detectors(self) -> tuple[DetectorStudy, list[Candidate], str] | None:
        """(study, candidates, the foreign set); None where the headline model or that set is missing."""
        if not self.has("glow") or self.why_not("glow", self.experiment.foreign):
            return None
        own = self.study("glow").spec
        found = DetectorStudy(
            own.dataset,
            own.image_shape,
            self.cache,
            evaluation.names_trained_on(own),
            **self.where,
            division=own.division,
            skip_unreadable=own.skip_unreadable,
        )
        scale = self.scale
        limits = detector_candidates.Limits(
            scale.detector_images, scale.slow_detector_images, scale.jacobian_images
        )
        bases = ("glow", "vae", "pixelcnn") if scale.judged_by_all else ("glow",)
        roles = detector_candidates.Roles(
            bases=tuple(self.model(name).run for name in bases if self.has(name)),
            ensemble=self._runs(MEMBER, least=2),
            backgrounds=self._runs(BACKGROUND),
            outlier_exposed=self._runs(EXPOSED),
        )
        every = detector_candidates.candidates(
            roles, limits, own.image_shape, scale.detectors is None, found.model
        )
        chosen = [c for c in every if scale.detectors is None or c.kind.name in scale.detectors]
        return found, chosen, self.set_name("glow", self.experiment.foreign)

    def result(self, candidate: Candidate) -> Result:
        """What one of the candidates makes of the foreign set."""
        assert self.detectors is not None
        if candidate not in self._results:  # its intervals are resampled, which takes seconds
            found, _, foreign = self.detectors
            self._results[candidate] = found.result(candidate, foreign)
        return self._results[candidate]

    def results(self) -> list[Result]:
        """What every detector makes of the foreign set."""
        return [] if self.detectors is None else [self.result(c) for c in self.detectors[1]]

    def _runs(self, role: str, least: int = 1) -> tuple[Any, ...]:
        found = tuple(m.run for m in self.models if m.recipe.role == role and self.has(m.name))
        return found if len(found) >= least else ()

    def _study_config(self, recipe: Recipe) -> StudyConfig:
        scale, slow = self.scale, recipe.family != "glow"
        others = [named.name for named in recipe.others]
        protocol = None
        if recipe.family == "vae":
            protocol = registry.settings("vae").protocol_class(
                num_importance_samples=scale.importance_samples
            )
        return StudyConfig(
            datasets=tuple(others),
            **self.where,
            max_images=scale.most_slow_images if slow else scale.most_images,
            num_probes=scale.num_probes,
            covariance_images=scale.covariance_images,
            sweep_images=scale.sweep_images,
            seed=self.config.seed,
            protocol=protocol,
        )
