"""An exported model, read back as a function from images to numbers."""

import json
import os

import numpy as np
import tensorflow as tf

from tfp_flows.checks.errors import UserError
from tfp_flows.checks.images import check_image_batch
from tfp_flows.checks.paths import check_path

SIGNATURE_FILE = "signature.json"


class ExportedModelError(UserError):
    """A folder holds no exported model; the message is one line."""


def image_shape(folder: str | os.PathLike) -> tuple[int, int, int]:
    """(H, W, C) of the images that the export in `folder` takes; the model itself is not loaded.

    Raises:
      ExportedModelError: If the folder holds no export.
    """
    check_path(folder, "model")
    try:
        described = _described(folder)
        height, width, channels = described["image_shape"]
    except (OSError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise _no_export(folder, error) from error
    if described.get("export_format") == "stablehlo":
        raise ExportedModelError(
            f"`model`: {folder} holds StableHLO, for JAX; score with python {folder}/run_stablehlo.py."
        )
    return height, width, channels


def num_calibration(folder: str | os.PathLike) -> int | None:
    """How many images calibrated the detector of the export in `folder`; None where there are no p-values.

    Raises:
      ExportedModelError: If the folder holds no export.
    """
    try:
        count = (_described(folder)["detector"] or {})["num_calibration"]
    except KeyError:
        return None
    except (OSError, ValueError, TypeError, tf.errors.OpError) as error:
        raise _no_export(folder, error) from error
    if count is not None and (type(count) is not int or count < 1):
        raise _no_export(folder, ValueError(f"num_calibration of {SIGNATURE_FILE} is {count!r}"))
    return count


def _described(folder: str | os.PathLike) -> dict:
    """The contents of signature.json."""
    with tf.io.gfile.GFile(os.path.join(folder, SIGNATURE_FILE)) as file:
        return json.loads(file.read())


class ExportedModel:
    """uint8 images `[B, H, W, C]`, B <= batch_size -> dict of float32 `[B]`, those of `serving_default`.

    The SavedModel always runs on `batch_size` images: fewer are filled up with black ones. TensorFlow's
    kernels may add in another order where the batch has another size, so without this the last bits of an
    image's numbers would depend on how many others came with it. They still depend on `batch_size` and on
    the processor.

    Attributes:
      image_shape: (H, W, C).
      batch_size: Images that the model runs on at once.
    """

    def __init__(self, folder: str | os.PathLike, batch_size: int = 128) -> None:
        """Loads the model.

        Args:
          folder: What `tfp_flows.export` wrote.
          batch_size: Images that the model runs on at once.

        Raises:
          ExportedModelError: If the folder holds no export.
        """
        self.image_shape = image_shape(folder)
        self.batch_size = batch_size
        try:
            self._loaded = tf.saved_model.load(str(folder))  # its variables live as long as it does
            self._function = self._loaded.signatures["serving_default"]
        except (OSError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
            raise _no_export(folder, error) from error

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The numbers of up to `batch_size` images.

        Raises:
          ExportedModelError: If they are more, have another shape, or hold what is no grey level.
        """
        images = check_image_batch(images, self.image_shape, "exported model", ExportedModelError)
        if len(images) > self.batch_size:
            raise ExportedModelError(
                f"exported model: takes at most `batch_size` = {self.batch_size} images, got {len(images)}."
            )
        filled = np.zeros([self.batch_size, *self.image_shape], np.uint8)
        filled[: len(images)] = images
        found = self._function(images=tf.constant(filled))
        return {name: values.numpy()[: len(images)] for name, values in found.items()}


def _no_export(folder: str | os.PathLike, error: Exception) -> ExportedModelError:
    reason = str(error).strip().splitlines()[0]
    return ExportedModelError(f"`model`: {folder} is no exported model: {reason}")
