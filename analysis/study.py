"""All the numbers of a report, stage by stage, each kept in a cache under what it depends on."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm
from tensorflow_probability import distributions as tfd

from analysis import cache, comparison, decomposition, moments, second_order, study_images, sweeps
from analysis.comparison import Comparison
from analysis.errors import AnalysisError
from analysis.moments import Moments
from analysis.study_images import StudyConfig
from tfp_flows import data, evaluation, runs

FAMILY_TITLES = {"vae": "VAE", "pixelcnn": "PixelCNN"}


@dataclasses.dataclass(frozen=True, eq=False)
class ContrastSweep:
    """Mean log-likelihood against contrast, nats, each `[K]`.

    Attributes:
      contrasts: The k; 1 is the data set itself.
      measured: Mean log-likelihoods.
      measured_se: Their standard errors.
      predicted: The whole expansion with full covariances, level with `measured` at k = 1; NaN for a
        model that is no flow.
    """

    contrasts: np.ndarray
    measured: np.ndarray
    measured_se: np.ndarray
    predicted: np.ndarray


class RunStudy:
    """The analyses of one run. Whatever is asked for is computed, or found in the cache."""

    def __init__(
        self, run: runs.Run, config: StudyConfig, results: cache.Cache, dataset: str | None = None
    ) -> None:
        """Reads the run's settings; the model is built when a result first needs it.

        Args:
          run: `runs.Run`.
          config: `StudyConfig`.
          results: `cache.Cache`.
          dataset: Name of the run's own data, where they have been moved; None to look for them.

        Raises:
          RunError: If the folder holds no run, or its data are nowhere.
        """
        self.run = run
        self.name = run.folder.resolve().name
        self.spec = run.with_data(dataset)
        self._identity = {**run.spec().to_json(), "checkpoint": run.checkpoint_digest()}
        if config.protocol is not None:
            self._identity["protocol"] = dataclasses.asdict(config.protocol)
        self._config = config
        self._cache = results
        self.others: list[str] = []
        self.left_out: dict[str, str] = {}

    @functools.cached_property
    def model(self) -> tfd.Distribution:
        """The density model with its trained weights."""
        return runs.load_model(self.run, self._config.protocol)[0]

    @functools.cached_property
    def log_prob(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Its compiled log-probability of uint8 images."""
        return evaluation.compiled_log_prob(self.model)

    @property
    def is_flow(self) -> bool:
        """Whether log p(x) is a change of variables, which can be taken apart."""
        spec = self.spec  # and not the model, which a result that is kept does not need
        return spec.family == "glow" and spec.classes is None and not spec.low_resolution

    @property
    def coupling(self) -> str | None:
        """The couplings of a Glow, such as "affine" (NVP-Glow) or "additive" (CV-Glow); None for no Glow."""
        return self.spec.model.coupling if self.spec.family == "glow" else None

    @property
    def title(self) -> str:
        """Such as "NVP-Glow on fashion_mnist"."""
        kinds = {"affine": "NVP-Glow", "additive": "CV-Glow", None: FAMILY_TITLES.get(self.spec.family)}
        kind = kinds.get(self.coupling, f"Glow of {self.coupling} couplings")
        return f"{kind or self.spec.family} on {data.short(self.spec.dataset)}"

    def choose_datasets(self) -> None:
        """Sets `others` to the data sets of the run's shape, and `left_out` to why the rest are not.

        Raises:
          DataError: If none of them fits; the message is that of the first.
        """
        errors = {}
        for name in evaluation.other_names(self.spec.dataset, self._config.datasets):
            try:
                # Kept, so that a second call need not load the images to know that they fit.
                self._cached("fits", functools.partial(self._load_once, name), dataset=self._identify(name))
                self.others.append(name)
            except data.DataError as error:
                errors[name] = error
        if not self.others:
            raise next(iter(errors.values()), self._nothing_to_compare())
        self.left_out = {name: str(error) for name, error in errors.items()}

    def _nothing_to_compare(self) -> AnalysisError:
        return AnalysisError(
            f"--datasets: names nothing but the data that {self.run.folder} was trained on; name others."
        )

    def images(self, name: str, split: str) -> data.ImageSet:
        """The images of a data set, in the run's shape; for "test" all of a set that the run cannot know."""
        return study_images.load(self._config, self.spec, name, split)

    def moments(self, name: str, split: str) -> Moments:
        """`Moments` of a data set, of all the images that are scored, or trained on."""
        return study_images.moments_of(self._cache, self._config, self.spec, name, split)

    @property
    def training_moments(self) -> Moments:
        """`Moments` of the images that the run was trained on: p*."""
        return self.moments(self.spec.dataset, "train")

    def terms(self, name: str) -> decomposition.ImageTerms:
        """`decomposition.ImageTerms` of the test images of a data set."""

        def compute() -> dict:
            terms = decomposition.decompose_images(self.model, np.asarray(self.images(name, "test").images))
            return {
                "log_prob_z": terms.log_prob_z,
                "log_det": terms.log_det,
                "layer_names": np.array(list(terms.layers)),
                "layers": np.stack(list(terms.layers.values())),
                "levels": terms.levels,
                "log_q": terms.log_q,
            }

        found = self._cached("terms", compute, dataset=self._identify(name))
        return decomposition.ImageTerms(
            log_prob_z=found["log_prob_z"],
            log_det=found["log_det"],
            layers=dict(zip(found["layer_names"].tolist(), found["layers"], strict=True)),
            levels=found["levels"],
            num_dimensions=int(np.prod(self.spec.image_shape)),
            log_q=found["log_q"],
        )

    def log_probs(self, name: str) -> np.ndarray:
        """log P of the test images of a data set `[N]`, nats: the sum of a flow's terms, or as it is."""
        if self.is_flow:
            return self.terms(name).log_prob

        def compute() -> dict:
            return {"log_prob": evaluation.log_probs(self.log_prob, self.images(name, "test").images)}

        return self._cached("log_prob", compute, dataset=self._identify(name))["log_prob"]

    def training_log_probs(self) -> np.ndarray:
        """log P of training images `[N]`, nats: a fixed random sample, as many as there are test images."""
        count = len(self.log_probs(self.spec.dataset))

        def compute() -> dict:
            images = study_images.load(self._config, self.spec, self.spec.dataset, "train", count).images
            return {"log_prob": evaluation.log_probs(self.log_prob, images)}

        return self._cached(
            "training_log_prob", compute, count=count, dataset=self._identify(self.spec.dataset, "train")
        )["log_prob"]

    def auroc(self, name: str) -> tuple[float, float | None, float | None]:
        """(AUROC of -log P with this data set as the positive class, low, high); see `evaluation.auroc`."""
        own, other = self.log_probs(self.spec.dataset), self.log_probs(name)

        def compute() -> dict:
            return {"auroc": np.array(evaluation.auroc(-own, -other), np.float64)}  # None becomes NaN

        found = self._cached("auroc", compute, **self._with_own(name))["auroc"].tolist()
        value, low, high = found
        return (value, low, high) if evaluation.enough(len(own), len(other)) else (value, None, None)

    @functools.cached_property
    def expansion(self) -> second_order.Expansion:
        """`second_order.Expansion` around the mean of the training data."""
        return second_order.expand(self.model.flow, self.training_moments)

    def comparison(self, name: str) -> Comparison:
        """`comparison.Comparison` of a data set with the run's own test images."""

        def sample(name: str, split: str) -> comparison.Sample:
            return comparison.Sample(np.asarray(self.images(name, split).images), self.moments(name, split))

        def compute() -> dict:
            found = comparison.compare(
                self.model.flow,
                self.expansion,
                sample(self.spec.dataset, "train"),
                sample(name, "test"),
                log_prob_p=self.terms(self.spec.dataset).log_prob,
                log_prob_q=self.terms(name).log_prob,
                num_probes=self._config.num_probes,
                num_images=self._config.covariance_images,
                seed=self._config.seed,
            )
            return {k: np.nan if v is None else v for k, v in dataclasses.asdict(found).items()}

        found = self._cached(
            "comparison",
            compute,
            **self._with_own(name),
            training=self._identify(self.spec.dataset, "train"),
            probes=self._config.num_probes,
            images=self._config.covariance_images,
            seed=self._config.seed,
        )
        values: dict[str, Any] = {k: None if np.isnan(v) else float(v) for k, v in found.items()}
        return Comparison(**values)

    def contrast(self, name: str) -> ContrastSweep:
        """`ContrastSweep` of a data set."""

        def compute() -> dict:
            contrasts = np.array(sweeps.CONTRASTS)
            means, errors, sets = sweeps.contrast_sweep(
                self.log_prob,
                name,
                contrasts,
                self._config.sweep_images,
                split=study_images.judged(self.spec, name, "test"),
                data_dir=self._config.data_dir,
                download=self._config.download,
                image_shape=self.spec.image_shape,
                division=self.spec.division,
                skip_unreadable=self.spec.skip_unreadable,
            )
            predicted = np.full(len(sets), np.nan)
            if self.is_flow:
                predicted = np.array([self._predicted(images) for images in sets])
                at_one = int(np.argmin(abs(contrasts - 1)))
                predicted += means[at_one] - predicted[at_one]
            return dict(contrasts=contrasts, measured=means, measured_se=errors, predicted=predicted)

        found = self._cached(
            "contrast",
            compute,
            dataset=self._identify(name),
            training=self._identify(self.spec.dataset, "train"),
            images=self._config.sweep_images,
            covariance_images=self._config.covariance_images,
            seed=self._config.seed,
        )
        return ContrastSweep(**found)

    def faded(self) -> list[str]:
        """The sets, the run's own first, whose contrast can be changed; see `sweeps.has_contrast`."""
        config, spec = self._config, self.spec
        where = dict(
            data_dir=config.data_dir,
            download=config.download,
            division=spec.division,
            skip_unreadable=spec.skip_unreadable,
        )
        return [n for n in [self.spec.dataset, *self.others] if sweeps.has_contrast(n, **where)]

    def constants(self) -> tuple[np.ndarray, np.ndarray]:
        """(grey levels, log-likelihoods of constant images)."""

        def compute() -> dict:
            levels, values = sweeps.constant_sweep(self.log_prob, self.spec.image_shape)
            return dict(levels=levels, values=values)

        found = self._cached("constants", compute)
        return found["levels"], found["values"]

    def samples(self) -> np.ndarray:
        """uint8 `[temperatures, N, H, W, C]`; one temperature for a model that is no flow."""

        def compute() -> dict:
            if self.is_flow:
                return {"images": sweeps.temperature_grid(self.model.flow, seed=self._config.seed)}
            drawn = self.model.sample(sweeps.NUM_SAMPLES, seed=(self._config.seed, 0)).numpy()
            return {"images": drawn.astype(np.uint8)[np.newaxis]}

        return self._cached("samples", compute, seed=self._config.seed)["images"]

    def _load_once(self, name: str) -> dict[str, int]:
        return {"count": len(self.images(name, "test"))}

    def _predicted(self, images: np.ndarray) -> float:
        """E[log p] - log p(x0) of these images, to second order, nats."""
        q = comparison.Sample(images, moments.moments_of(images))
        drawn = q.draw(self._config.covariance_images, self._config.seed)
        trace, _ = self.expansion.full_covariance_term(drawn, q.moments.unit_mean)
        mean = q.moments.unit_mean
        return self.expansion.first_order(mean) + self.expansion.mean_curvature(mean) + trace

    def _cached(self, stage: str, compute: Callable[[], dict], **key: Any) -> dict[str, np.ndarray]:
        return self._cache.get(stage, {"run": self._identity, **key}, compute)

    def _identify(self, name: str, split: str = "test") -> dict:
        return study_images.identify(self._config, self.spec, name, split)

    def _with_own(self, name: str) -> dict[str, dict]:
        """What compares a set with the run's own images depends on."""
        return {"dataset": self._identify(name), "own": self._identify(self.spec.dataset)}


def compute_all(studies: Sequence[RunStudy], progress: bool = True) -> None:
    """Fills the cache, one stage after the other, with a progress bar for each.

    Args:
      studies: List of `RunStudy`.
      progress: Whether to show the bars.
    """
    for study in studies:
        study.choose_datasets()
    pairs = [(study, name) for study in studies for name in [study.spec.dataset, *study.others]]
    others = [(study, name) for study in studies for name in study.others]
    flows = [(s, name) for s, name in others if s.is_flow]
    stages = {
        "moments": [functools.partial(s.moments, name, "test") for s, name in pairs]
        + [functools.partial(s.moments, s.spec.dataset, "train") for s in studies],
        "log p": [functools.partial(s.log_probs, name) for s, name in pairs],
        "AUROC": [functools.partial(s.auroc, name) for s, name in others],
        "second order": [functools.partial(s.comparison, name) for s, name in flows],
        "contrast": [functools.partial(s.contrast, name) for s in studies for name in s.faded()],
        "constants and samples": [f for s in studies for f in (s.constants, s.samples)],
    }
    for label, tasks in stages.items():
        for task in tqdm.tqdm(tasks, desc=label, disable=not progress):
            task()
