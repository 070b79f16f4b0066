"""What a study computes, and the images that it reads: which, how, and what identifies them in a cache."""

import dataclasses
from typing import Any

from analysis import cache, moments
from analysis.errors import AnalysisError
from analysis.moments import Moments
from tfp_flows import data, evaluation, runs
from tfp_flows.data import names


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """What is computed for each run.

    Attributes:
      datasets: Names as in `tfp_flows.data`, to compare with each run's own.
      data_dir: Folder of data sets in TFDS layout.
      download: Whether TFDS may download what is missing.
      max_images: Largest number of test images of a set, a fixed random sample; None for all.
      num_probes: Of Hutchinson's estimate.
      covariance_images: Images of a set for the full covariance.
      sweep_images: Images at each point of a sweep.
      seed: Of probes, draws and samples.
      protocol: How log-probabilities are estimated, of the run's family; None for its defaults.
    """

    datasets: tuple[str, ...]
    data_dir: str | None = None
    download: bool = False
    max_images: int | None = None
    num_probes: int = 64
    covariance_images: int = 256
    sweep_images: int = 500
    seed: int = 0
    protocol: Any = None


def judged(spec: runs.RunSpec, name: str, split: str) -> str:
    """The split that is loaded: "all" of a set that is only judged on and has no test images of its own."""
    return data.evaluation_split(name, evaluation.names_trained_on(spec)) if split == "test" else split


def load(
    config: StudyConfig, spec: runs.RunSpec, name: str, split: str, most: int | None = None
) -> data.ImageSet:
    """Images of a data set, in the run's shape: `max_images` of its test split at most, else `most`."""
    return data.load(
        name,
        judged(spec, name, split),
        data_dir=config.data_dir,
        download=config.download,
        image_shape=spec.image_shape,
        max_images=config.max_images if split == "test" else most,
        division=spec.division,
        skip_unreadable=spec.skip_unreadable,
    )


def identify(config: StudyConfig, spec: runs.RunSpec, name: str, split: str) -> dict:
    """What the images of a data set depend on."""
    return {
        "name": names.understood(name).text,
        "split": judged(spec, name, split),
        "division": spec.division,
        "shape": list(spec.image_shape),
        "max_images": config.max_images if split == "test" else None,
        "skip_unreadable": spec.skip_unreadable,
        "fingerprint": data.fingerprint(name, config.data_dir, config.download),
    }


def moments_of(
    results: cache.Cache, config: StudyConfig, spec: runs.RunSpec, name: str, split: str
) -> Moments:
    """`Moments` of a data set, from the cache if they are there."""

    def compute() -> dict:
        images = load(config, spec, name, split)
        try:
            found = moments.moments_of(images)
        except AnalysisError as error:
            raise AnalysisError(f"{name} ({split}): {error}") from error
        return {"count": found.count, "mean": found.mean, "variance": found.variance}

    found = results.get("moments", identify(config, spec, name, split), compute)
    return Moments(int(found["count"]), found["mean"], found["variance"])
