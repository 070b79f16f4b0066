"""How well a flow's inverse is one, in numbers of finite length: decode(encode(x)) against x."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfp_flows.checks.errors import UserError
from tfp_flows.numerics.quantization import NUM_LEVELS, dequantize

BATCH_SIZE = 64


class InverseError(NamedTuple):
    """What a round trip made of some images.

    Attributes:
      worst: The largest |decode(encode(y)) - y| of any value of any image, grey levels; of those that came
        back finite, and NaN if none did.
      mean: The mean of it over all values of these.
      not_finite: Of how many images the latent or what came back holds NaN or an infinity.
      n: Number of images.
    """

    worst: float
    mean: float
    not_finite: int
    n: int

    @property
    def share_not_finite(self) -> float:
        """`not_finite` / n."""
        return self.not_finite / self.n

    def __str__(self) -> str:
        """Such as "0.004", "below 0.001", or "0.004, 3 of 64 not finite"."""
        lost = f"{self.not_finite:,} of {self.n:,} not finite" if self.not_finite else ""
        return ", ".join(text for text in (_rounded(self.worst), lost) if text)


def inverse_error(flow: Any, images: Any, **conditions: Any) -> InverseError:
    """The round trip of images through a flow, whose latent and result are rounded to its dtype.

        e = 256 |bijector.forward(bijector.inverse(y)) - y|,      y = (x + u) / 256

    An exact inverse has e = 0. In float32 a good one stays below 0.01, however deep the flow; where a flow
    stretches its inputs without bound, far from the data, nothing is left of them.

    Args:
      flow: A density over integer images by dequantisation (`Dequantized`), which says u; a
        `tfd.TransformedDistribution`; or a `tfb.Bijector`. For the latter two u = 1/2.
      images: Integers `[N, H, W, C]`; or floating `[N, ...]`, which are y themselves.
      **conditions: Keyword arguments of the bijector, one for all images.

    Returns:
      `InverseError`.

    Raises:
      UserError: If there is no bijector in `flow`, or no image.
    """
    bijector = _bijector_of(flow)
    images = images if tf.is_tensor(images) else np.asarray(images)
    if not len(images):
        raise UserError("inverse_error: `images` must hold one at least.")
    worst, total, count, not_finite = float("nan"), 0.0, 0, 0
    for start in range(0, len(images), BATCH_SIZE):
        y = _continuous(flow, images[start : start + BATCH_SIZE])
        z = bijector.inverse(tf.identity(y), **conditions)
        # Another tensor, or the bijector gives y back without computing anything.
        errors = NUM_LEVELS * np.abs(bijector.forward(tf.identity(z), **conditions).numpy() - y.numpy())
        errors, latents = (np.reshape(values, [len(y), -1]) for values in (errors, z.numpy()))
        finite = np.isfinite(errors).all(axis=1) & np.isfinite(latents).all(axis=1)
        not_finite += int((~finite).sum())
        if finite.any():
            worst = float(np.fmax(worst, errors[finite].max()))
            total, count = total + float(errors[finite].sum(dtype=np.float64)), count + errors[finite].size
    return InverseError(worst, total / count if count else float("nan"), not_finite, len(images))


def extreme_images(image_shape: Sequence[int], image: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Images as far from photographs as images can be, on which inverses fail first.

    Args:
      image_shape: (H, W, C).
      image: uint8 `[H, W, C]`, a usual one, to be turned upside down.

    Returns:
      Dict from name to uint8 `[H, W, C]`, always the same: black; white; a checkerboard of one pixel a
      field, and of two; stripes, a column black and a column white; black with one white pixel; for several
      channels a checkerboard whose neighbouring channels are each other's negative; uniform noise; `image`.
    """
    height, width, channels = image_shape
    row, column = np.mgrid[:height, :width]
    channel = np.arange(channels)

    def white_where(mask: np.ndarray) -> np.ndarray:
        spread = np.broadcast_to(mask.reshape([height, width, -1]), [height, width, channels])
        return np.where(spread, 255, 0).astype(np.uint8)

    found: Mapping[str, np.ndarray | None] = {
        "black": white_where(row < 0),
        "white": white_where(row >= 0),
        "checkerboard": white_where((row + column) % 2 == 1),
        "checkerboard of 2": white_where((row // 2 + column // 2) % 2 == 1),
        "stripes": white_where(column % 2 == 1),
        "bright pixel": white_where((row == height // 2) & (column == width // 2)),
        "colour checkerboard": white_where((row + column)[..., np.newaxis] % 2 != channel % 2)
        if channels > 1
        else None,
        "noise": np.random.RandomState(1).randint(0, 256, (height, width, channels)).astype(np.uint8),
        "upside down": None if image is None else np.asarray(image)[::-1],
    }
    return {name: values for name, values in found.items() if values is not None}


def _bijector_of(flow: Any) -> Any:
    """The bijector of a density over images, of a distribution, or `flow` itself."""
    inner = getattr(flow, "flow", flow)
    bijector = getattr(inner, "bijector", inner)
    if not (hasattr(bijector, "inverse") and hasattr(bijector, "forward")):
        raise UserError(f"inverse_error: there is no bijector in {flow!r}.")
    return bijector


def _continuous(flow: Any, images: Any) -> tf.Tensor:
    """y of images; floating ones are y."""
    given = tf.convert_to_tensor(images)
    dtype = tf.as_dtype(getattr(flow, "dtype", None) or tf.float32)
    if given.dtype.is_floating:
        return tf.cast(given, dtype)
    if hasattr(flow, "dequantized"):
        return flow.dequantized(given)
    return dequantize(given, tf.constant(0.5, dtype))


def _rounded(value: float) -> str:
    """Two digits that count; "" for NaN."""
    if np.isnan(value):
        return ""
    return "below 0.001" if 0 < value < 1e-3 else f"{value:.2g}"
