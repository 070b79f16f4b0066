"""An exported model, read back as a function from images to numbers."""

import os

import numpy as np
import tensorflow as tf

from tfp_flows.checks import files, graphs, sizes
from tfp_flows.checks.errors import UserError
from tfp_flows.checks.images import check_image_batch
from tfp_flows.checks.paths import check_path
from tfp_flows.data import Preparation
from tfp_flows.detectors.pictures import Pictures, as_images
from tfp_flows.pages import heat
from tfp_flows.serving import signature_file
from tfp_flows.serving.formats import FILES, SAVED_MODEL, SPOKEN, STABLEHLO
from tfp_flows.serving.signature_file import ExportedModelError

__all__ = ["ExportedModel", "ExportedModelError", "image_shape", "num_calibration", "preparation"]


def image_shape(folder: str | os.PathLike) -> tuple[int, int, int]:
    """(H, W, C) of the images that the export in `folder` takes; the model itself is not loaded.

    Raises:
      ExportedModelError: If the folder holds no export.
    """
    check_path(folder, "model")
    described = signature_file.read(folder)
    found = described.get("export_format")
    if found == STABLEHLO:
        raise ExportedModelError(
            f"`model`: {folder} holds StableHLO, for JAX; score with python {folder}/run_stablehlo.py."
        )
    if found in FILES:
        raise ExportedModelError(
            f"`model`: {folder} holds {SPOKEN[found]}; run {FILES[found]} there, or export with "
            f"`format={SAVED_MODEL}` to score with it here."
        )
    height, width, channels = described["image_shape"]
    return height, width, channels


def num_calibration(folder: str | os.PathLike) -> int | None:
    """How many images calibrated the detector of the export in `folder`; None where there are no p-values.

    Raises:
      ExportedModelError: If the folder holds no export.
    """
    detector = signature_file.read(folder)["detector"]
    return detector and detector.get("num_calibration")


def preparation(folder: str | os.PathLike) -> Preparation | None:
    """How pictures become the images of the export in `folder`; None where it does not say.

    Raises:
      ExportedModelError: If the folder holds no export.
    """
    described = signature_file.read(folder)["preparation"]
    return None if described is None else Preparation.from_json(described)


class ExportedModel:
    """uint8 images `[B, H, W, C]`, B <= batch_size -> dict of float32 `[B]`, those of `serving_default`.

    The SavedModel always runs on `batch_size` images: fewer are filled up with black ones. TensorFlow's
    kernels may add in another order where the batch has another size, so without this the last bits of an
    image's numbers would depend on how many others came with it. They still depend on `batch_size` and on
    the processor.

    Attributes:
      image_shape: (H, W, C).
      batch_size: Images that the model runs on at once.
      preparation: How pictures become images, `data.Preparation`; None where the export does not say.
    """

    def __init__(self, folder: str | os.PathLike, batch_size: int = 128, trust: bool = False) -> None:
        """Loads the model.

        Before TensorFlow loads it, its graph is looked at: operations that may do more than compute (read or
        write files, run Python) are refused, wherever they stand.

        Args:
          folder: What `tfp_flows.export` wrote.
          batch_size: Images that the model runs on at once.
          trust: Whether to load whatever graph there is, for those who know who made it.

        Raises:
          ExportedModelError: If the folder holds no export, or one that is refused.
        """
        self.image_shape = image_shape(folder)
        sizes.check_batch_size(batch_size, self.image_shape, error=ExportedModelError)
        self.batch_size = batch_size
        self._folder = folder
        self._described = signature_file.read(folder)
        self.preparation = preparation(folder)
        self._loaded = _load(folder, trust)  # its variables live as long as it does
        try:
            self._function = self._loaded.signatures["serving_default"]
            _check_function(self._function, self.image_shape)
        except (AttributeError, KeyError, TypeError) as error:
            raise signature_file.no_export(folder, UserError("it has no serving_default")) from error
        except UserError as error:
            raise signature_file.no_export(folder, error) from error

    def __call__(self, images: Pictures) -> dict[str, np.ndarray]:
        """The numbers of up to `batch_size` images, or pictures: paths, PIL images, see `preparation`.

        Raises:
          ExportedModelError: If they are more, have another shape, or hold what is no grey level.
          DataError: If a picture cannot be had.
        """
        return self._run(self._function, self._images(images))

    @property
    def gives_p_values(self) -> bool:
        """Whether there are p-values, and so verdicts."""
        return "p_value" in self._function.structured_outputs

    @property
    def num_calibration(self) -> int | None:
        """How many calibration images the p-values are of; None where there are none, or it does not say."""
        return (self._described["detector"] or {}).get("num_calibration")

    @property
    def map_scale(self) -> heat.Scale | None:
        """The scale of pictures of its maps, if the export says one."""
        found = (self._described["detector"] or {}).get("map_scale")
        return None if found is None else heat.Scale(*found)

    def check_map(self) -> None:
        """Raises `ExportedModelError` where the export has no maps."""
        if self._described["detector"] is None:
            raise ExportedModelError(
                f"`model`: {self._folder} has no heat maps: it was exported without a detector."
            )
        if "score_map" not in self._loaded.signatures:
            name = self._described["detector"].get("name", "its detector")
            raise ExportedModelError(
                f"`model`: {self._folder} has no heat maps: there are none of {name}, or it was exported "
                f"before there were any; fit the detector and export it again."
            )

    def score_map(self, images: Pictures) -> np.ndarray:
        """Where in each image the score comes from: float32 `[N, H, W]`, N <= batch_size.

        See `detectors.Detector.score_map`: the same numbers, up to rounding.

        Raises:
          ExportedModelError: If there are no maps, or the images are not as a call takes them.
          DataError: If a picture cannot be had.
        """
        self.check_map()
        images = self._images(images)
        found = self._run(self._loaded.signatures["score_map"], images)
        if found["map"].shape != (len(images), *self.image_shape[:2]):
            raise signature_file.no_export(self._folder, UserError("its maps have another shape"))
        return found["map"]

    def _images(self, images: Pictures) -> np.ndarray:
        read = as_images(images, self.preparation, self.image_shape, "exported model")
        checked = check_image_batch(read, self.image_shape, "exported model", ExportedModelError)
        if len(checked) > self.batch_size:
            raise ExportedModelError(
                f"exported model: takes at most `batch_size` = {self.batch_size} images, got {len(checked)}."
            )
        return checked

    def _run(
        self, function: tf.types.experimental.ConcreteFunction, images: np.ndarray
    ) -> dict[str, np.ndarray]:
        filled = np.zeros([self.batch_size, *self.image_shape], np.uint8)
        filled[: len(images)] = images
        try:
            found = function(images=tf.constant(filled))
            return {name: values.numpy()[: len(images)] for name, values in found.items()}
        except (tf.errors.OpError, TypeError) as error:
            raise signature_file.no_export(self._folder, error) from error


def _load(folder: str | os.PathLike, trust: bool) -> tf.Module:
    try:
        files.check_folder(folder)
        if not trust:
            graphs.check_saved_model(folder)
        return tf.saved_model.load(str(folder))
    # What TensorFlow raises for a damaged graph is of any class.
    except Exception as error:
        raise signature_file.no_export(folder, error) from error


def _check_function(
    function: tf.types.experimental.ConcreteFunction, image_shape: tuple[int, int, int]
) -> None:
    """Refuses a `serving_default` that does not take a batch of images and give numbers for each."""
    taken = function.structured_input_signature[1]
    wanted = tf.TensorSpec([None, *image_shape], tf.uint8)
    if set(taken) != {"images"} or not wanted.is_compatible_with(taken["images"]):
        shape = ", ".join(map(str, image_shape))
        raise UserError(f"serving_default does not take images uint8 [N, {shape}]")
    given = function.structured_outputs
    for name in ("log_prob", "bits_per_dim"):
        if name not in given:
            raise UserError(f"serving_default does not give {name}")
    for name, spec in given.items():
        if not spec.dtype.is_floating or spec.shape.rank not in (1, None):
            raise UserError(
                f"serving_default gives {name} as {spec.dtype.name} {spec.shape}, not numbers [N]"
            )
