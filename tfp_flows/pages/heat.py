"""Heat maps as pictures: an image beside itself under its map, in colours of one scale. Quick: Pillow alone.

The scale is from nothing, where the image shows through, over yellow to red at `high` and above.
"""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

SIDE = 256  # least, of an enlarged image, in pixels
GAP = 8
BAR = 12  # width of the bar of colours
WINDOW = 5
PAPER, INK = (255, 255, 255), (40, 40, 40)
# From nothing to `high`: red, green, blue, and how much of the image they hide.
_COLOURS = np.array(
    [
        [255, 255, 178, 0.0],
        [254, 217, 118, 0.35],
        [254, 178, 76, 0.55],
        [253, 141, 60, 0.7],
        [240, 59, 32, 0.8],
        [165, 0, 38, 0.9],
    ]
)


class Scale(NamedTuple):
    """What the colours of a map mean.

    Attributes:
      low: At and below which nothing is coloured.
      high: At and above which all is dark red.
    """

    low: float
    high: float

    @property
    def caption(self) -> str:
        """The scale in words."""
        return f"map: {self.low:.3g} (clear) to {self.high:.3g} (dark red), one scale for all pictures"


def scale_of(maps: np.ndarray) -> Scale:
    """A scale for maps `[N, H, W]` of in-distribution images: half of their pixels are clear.

    Smoothed, the median is `low`; `high` is twice as far above it as the 99.5 % quantile, so that little of
    such images is red.
    """
    values = smoothed(maps)
    values = values[np.isfinite(values)]
    if not values.size:
        return Scale(0.0, 1.0)
    low, most = (float(q) for q in np.quantile(values, [0.5, 0.995]))
    return Scale(low, low + max(2.0 * (most - low), 1e-6))


def smoothed(maps: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """The mean of each pixel's neighbourhood `window` x `window`, of what of it lies in the image.

    Args:
      maps: `[..., H, W]`.
      window: Odd; 1 leaves them as they are.
    """
    reach = window // 2
    total, count = np.asarray(maps, np.float64), np.ones(np.shape(maps)[-2:])
    for axis in (-2, -1):
        total, count = (_window_sums(values, reach, axis) for values in (total, count))
    return total / count


def _window_sums(values: np.ndarray, reach: int, axis: int) -> np.ndarray:
    size = values.shape[axis]
    padding = [(0, 0)] * values.ndim
    padding[axis] = (1, 0)
    sums = np.cumsum(np.pad(values, padding), axis=axis)
    ends = np.minimum(np.arange(size) + reach + 1, size)
    starts = np.maximum(np.arange(size) - reach, 0)
    return np.take(sums, ends, axis=axis) - np.take(sums, starts, axis=axis)


def enlarged(image: np.ndarray, side: int = SIDE) -> Image.Image:
    """An image uint8 `[H, W, C]` as a picture whose shorter side has at least `side` pixels, unblurred."""
    height, width, channels = image.shape
    factor = max(1, -(-side // min(height, width)))
    rgb = image[..., :3] if channels >= 3 else np.repeat(image[..., :1], 3, axis=-1)
    size = (width * factor, height * factor)
    return Image.fromarray(np.ascontiguousarray(rgb)).resize(size, Image.Resampling.NEAREST)


def overlay(image: np.ndarray, values: np.ndarray, scale: Scale, side: int = SIDE) -> Image.Image:
    """The image under its map `[H, W]`, smoothed; the image is grey, so that colours are the map's."""
    picture = enlarged(image, side)
    grey = np.asarray(picture.convert("L"), np.float64)[..., np.newaxis]
    shown = np.nan_to_num(smoothed(values), nan=scale.high, posinf=scale.high, neginf=scale.low)
    part = np.clip((shown - scale.low) / (scale.high - scale.low), 0.0, 1.0).astype(np.float32)
    part = np.asarray(Image.fromarray(part).resize(picture.size, Image.Resampling.BILINEAR), np.float64)
    colours = _colours(part)
    alpha = colours[..., 3:]
    mixed = alpha * colours[..., :3] + (1 - alpha) * (0.35 * 255 + 0.65 * grey)
    return Image.fromarray(np.uint8(np.clip(np.round(mixed), 0, 255)))


def pair(image: np.ndarray, values: np.ndarray, scale: Scale, caption: str = "") -> Image.Image:
    """The image beside its overlay, with the bar of colours, and a caption below."""
    left, right = enlarged(image), overlay(image, values, scale)
    width, height = left.size
    across, line_height = 2 * width + 3 * GAP + BAR, 14
    lines = [line for text in (caption, scale.caption) if text for line in _lines(text, across - 4)]
    whole = (across, height + GAP + line_height * len(lines))
    sheet = Image.new("RGB", whole, PAPER)
    sheet.paste(left, (0, 0))
    sheet.paste(right, (width + GAP, 0))
    column = _colours(np.linspace(1.0, 0.0, height))
    bar = column[:, 3:] * column[:, :3] + (1 - column[:, 3:]) * 255
    strip = np.uint8(np.round(np.repeat(bar[:, np.newaxis], BAR, axis=1)))
    sheet.paste(Image.fromarray(strip), (2 * width + 2 * GAP, 0))
    drawing = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        drawing.text((2, height + GAP // 2 + line_height * number), line, fill=INK)
    return sheet


def _lines(text: str, width: int) -> list[str]:
    """The text, as Pillow's font can write it, in lines of at most `width` pixels, cut between words."""
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1))).textlength
    first, *others = text.encode("latin-1", "replace").decode("latin-1").split() or [""]
    lines = [first]
    for word in others:
        longer = f"{lines[-1]} {word}"
        if measure(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def png(picture: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=4)
    return file.getvalue()


def _colours(part: np.ndarray) -> np.ndarray:
    """Red, green, blue and opacity `[..., 4]` of parts 0..1 of the scale."""
    place = np.linspace(0.0, 1.0, len(_COLOURS))
    return np.stack([np.interp(part, place, column) for column in _COLOURS.T], axis=-1)
