"""What scores: a function from images to numbers, of an exported model or of a saved detector."""

import hashlib
import os
import pathlib

import numpy as np

from tfp_flows import detectors, serving
from tfp_flows.data import Preparation
from tfp_flows.detectors import calibration, description
from tfp_flows.pages import heat
from tfp_flows.scoring.maps import MappingScorer
from tfp_flows.serving import signature_file

# What a model's numbers depend on, of all that is in the folder of an export or a detector. A detector's run
# is elsewhere; its checkpoint has a digest in detector.json, which is compared when it is loaded.
_EXPORT = ("signature.json", "saved_model.pb", "variables", "assets")
_DETECTOR = ("detector.json", "arrays.npz", "statistics")


def digest(path: str | os.PathLike) -> str:
    """A digest of what the numbers of an exported model or a saved detector depend on.

    Args:
      path: Its folder; where that is neither, there is nothing to digest, and loading it says so.

    Returns:
      "sha256:" and 64 hexadecimal digits; the same wherever the folder is.

    Raises:
      OSError: If a file cannot be read.
    """
    root = pathlib.Path(path)
    named = [root / name for name in _EXPORT + _DETECTOR]
    found = [file for path in named for file in (path, *path.rglob("*")) if file.is_file()]
    whole = hashlib.sha256()
    for file in sorted(found):
        with open(file, "rb") as opened:
            contents = hashlib.file_digest(opened, "sha256").hexdigest()
        whole.update(f"{file.relative_to(root).as_posix()} {contents}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def of_export(
    path: str | os.PathLike, batch_size: int, alpha: float | None = None, trust: bool = False
) -> tuple[MappingScorer, Preparation]:
    """The scorer of an exported model.

    Args:
      path: Its folder.
      batch_size: Images that it runs on at once.
      alpha: A level that its p-values, if it has any, must be able to reach; None for any.
      trust: Whether to load whatever graph it is; see `ExportedModel`.

    Returns:
      (scorer, how pictures become its images: without operations where it does not say).

    Raises:
      ExportedModelError: If the folder holds no export.
      DetectorError: If `alpha` is not attainable.
    """
    if alpha is not None:
        need_level_of_export(path, alpha)
    model = serving.ExportedModel(path, batch_size, trust)
    return model, model.preparation or Preparation((), model.image_shape)


def need_level_of_export(path: str | os.PathLike, alpha: float) -> None:
    """Refuses a level that no p-value of an export can reach; one without p-values has no level.

    Raises:
      ExportedModelError: If the folder holds no export.
      DetectorError: If `alpha` is not attainable.
    """
    signature_file.image_shape(path)  # says what is wrong with a folder that cannot be scored with
    count = signature_file.num_calibration(path)
    if count is not None:
        calibration.need_level(alpha, count)


def of_detector(
    path: str | os.PathLike, alpha: float | None = None, trust: bool = False
) -> tuple[MappingScorer, Preparation]:
    """The scorer of a saved detector, exportable or not.

    Args:
      path: Its folder.
      alpha: As for `of_export`.
      trust: As for `detectors.load`.

    Returns:
      (scorer, how pictures become its images: without operations where it does not say). Its numbers are
      `score`; `log_prob` in nats and `bits_per_dim` where the detector has them; `p_value` where it is
      calibrated.

    Raises:
      DetectorError: If the folder holds no detector, or `alpha` is not attainable.
    """
    description.read(path)  # what is wrong with it shows before anything is imported for it
    detector = detectors.load(path, trust=trust)
    if alpha is not None and detector.calibration_scores is not None:
        calibration.need_level(alpha, len(detector.calibration_scores))
    scorer = DetectorScorer(detector, path)
    return scorer, detector.preparation or Preparation((), scorer.image_shape)


class DetectorScorer:
    """A saved detector as a `Scorer`: uint8 `[B, H, W, C]` -> a dict of arrays `[B]`; and its maps.

    Attributes:
      image_shape: (H, W, C).
    """

    def __init__(self, detector: "detectors.Detector", path: str | os.PathLike):
        """Takes the detector that was read from `path`."""
        if detector.image_shape is None:
            raise detectors.DetectorError(f"`detector`: {path} does not say the shape of its images.")
        if len(detector.image_shape) != 3:
            raise detectors.DetectorError(f"`detector`: {path} judges vectors, and no images.")
        height, width, channels = detector.image_shape
        self.image_shape = (height, width, channels)
        self._detector = detector
        self._path = path

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The numbers of images: see `of_detector`."""
        from tfp_flows.numerics import quantization  # here, as it needs TensorFlow

        detector = self._detector
        statistics = detector.statistics(images)
        score = detector.score_statistics(statistics)
        found = {"score": score}
        if detector.log_prob_first:
            log_prob = statistics[:, 0].astype(np.float32)
            bits = quantization.bits_per_dim(log_prob, self.image_shape)
            found.update(log_prob=log_prob, bits_per_dim=bits.astype(np.float32))
        if detector.calibration_scores is not None:
            found["p_value"] = detector.p_value_of_scores(score)
        return found

    @property
    def gives_p_values(self) -> bool:
        """Whether there are p-values, and so verdicts."""
        return self._detector.calibration_scores is not None

    @property
    def num_calibration(self) -> int | None:
        """How many calibration images the p-values are of; None where there are none."""
        scores = self._detector.calibration_scores
        return None if scores is None else len(scores)

    @property
    def map_scale(self) -> heat.Scale | None:
        """The scale of pictures of its maps, if it says one."""
        return self._detector.maps.scale

    def check_map(self) -> None:
        """Raises `DetectorError` where there are no maps."""
        reason = self._detector.maps.why_none()
        if reason:
            raise detectors.DetectorError(f"`detector`: {self._path} has no heat maps: {reason}")

    def score_map(self, images: np.ndarray) -> np.ndarray:
        """Where in images the score comes from: float32 `[B, H, W]`."""
        return self._detector.score_map(images)
