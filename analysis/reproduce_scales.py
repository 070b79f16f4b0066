"""How large a reproduction is: what each scale trains, scores and compares."""

import dataclasses

from analysis.errors import AnalysisError

QUICK = ("likelihood", "typicality", "likelihood_ratio", "waic", "outlier_exposure")
REMEDIES = (*QUICK, "density_of_states", "input_complexity", "default")


@dataclasses.dataclass(frozen=True)
class Scale:
    """The sizes of everything but the models, which `reproduce_recipes` has.

    Attributes:
      name: "smoke", "cpu" or "paper".
      meaning: What it is for, for readers of the report.
      most_images: Test images of a set under a flow; None for all.
      most_slow_images: Likewise under a VAE or a PixelCNN; None for all.
      importance_samples: Of a VAE's log p.
      num_probes: Of Hutchinson's estimate.
      covariance_images: Images of a set for the full covariance.
      sweep_images: Images at each contrast.
      detectors: Names of the scores that are compared; None for all.
      detector_images: Of each set, where a score takes a pass or a few.
      slow_detector_images: Where each image needs gradients.
      jacobian_images: Where each image needs a Jacobian.
      judged_by_all: Whether the VAE and the PixelCNN are bases of detectors, too.
    """

    name: str
    meaning: str
    most_images: int | None
    most_slow_images: int | None
    importance_samples: int
    num_probes: int
    covariance_images: int
    sweep_images: int
    detectors: tuple[str, ...] | None
    detector_images: int | None
    slow_detector_images: int
    jacobian_images: int
    judged_by_all: bool


SCALES = {
    "smoke": Scale(
        name="smoke",
        meaning="tiny models on embedded images: it shows that every step works, and no more",
        most_images=100,
        most_slow_images=24,
        importance_samples=2,
        num_probes=4,
        covariance_images=16,
        sweep_images=20,
        detectors=QUICK,
        detector_images=60,
        slow_detector_images=20,
        jacobian_images=10,
        judged_by_all=False,
    ),
    "cpu": Scale(
        name="cpu",
        meaning="small models, trained for minutes each on two cores",
        most_images=None,
        most_slow_images=1000,
        importance_samples=64,
        num_probes=64,
        covariance_images=256,
        sweep_images=500,
        detectors=REMEDIES,
        detector_images=1000,
        slow_detector_images=200,
        jacobian_images=50,
        judged_by_all=False,
    ),
    "paper": Scale(
        name="paper",
        meaning="the paper's sizes and schedules, as far as they are known, for a GPU",
        most_images=None,
        most_slow_images=2000,
        importance_samples=5000,
        num_probes=64,
        covariance_images=1024,
        sweep_images=1000,
        detectors=None,
        detector_images=None,
        slow_detector_images=1000,
        jacobian_images=200,
        judged_by_all=True,
    ),
}


def scale_of(name: str) -> Scale:
    """The scale of this name.

    Raises:
      AnalysisError: If there is none.
    """
    if name not in SCALES:
        raise AnalysisError(f"`scale` must be one of {', '.join(SCALES)}, got {name!r}.")
    return SCALES[name]
