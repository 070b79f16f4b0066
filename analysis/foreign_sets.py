"""Foreign sets made without downloads: own images changed in many ways, glyphs, strokes, smooth fields.

Each is made from a seed, so that a study of detectors can be repeated; none is made with a model.
"""

import hashlib
import io
from collections.abc import Callable

import matplotlib.font_manager
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import scipy.ndimage

from tfp_flows.data import operations

Shape = tuple[int, int, int]
Change = Callable[[np.ndarray, np.random.RandomState], np.ndarray]

_GLYPHS = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789ΓΔΘΛΞΠΣΦΨΩαβγδεζηθλμξπψωБДЖЗИЛЦЧШЩЪЫЭЮЯ"
)
_FONTS = ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono")


def _bytes(values: np.ndarray) -> np.ndarray:
    """Grey levels rounded and clipped to uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def blurred(images: np.ndarray, rng: np.random.RandomState, sigma: float = 1.0) -> np.ndarray:
    """Each image under a Gaussian of `sigma` pixels."""
    return _bytes(scipy.ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0)))


def with_noise(images: np.ndarray, rng: np.random.RandomState, scale: float = 20.0) -> np.ndarray:
    """Each image plus normal noise of standard deviation `scale` grey levels."""
    return _bytes(images + rng.normal(0.0, scale, images.shape))


def with_salt(images: np.ndarray, rng: np.random.RandomState, share: float = 0.05) -> np.ndarray:
    """A `share` of the pixels black or white."""
    chance = rng.rand(*images.shape[:3], 1)
    salted = np.where(chance < share / 2, 0, images)
    return np.where(chance > 1.0 - share / 2, 255, salted).astype(np.uint8)


def with_patch(images: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """A quarter of each image, somewhere, taken from the image before it."""
    height, width = images.shape[1] // 2, images.shape[2] // 2
    changed, others = images.copy(), np.roll(images, 1, axis=0)
    for image, other in zip(changed, others, strict=True):
        (top, left), (y, x) = rng.randint(0, (height, width), 2), rng.randint(0, (height, width), 2)
        image[top : top + height, left : left + width] = other[y : y + height, x : x + width]
    return changed


def shuffled_tiles(images: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Each image cut into 4 x 4 tiles that change places."""
    n, height, width, channels = images.shape
    if height % 4 or width % 4:
        inner = images[:, : height // 4 * 4, : width // 4 * 4]
        changed = images.copy()
        changed[:, : inner.shape[1], : inner.shape[2]] = shuffled_tiles(inner, rng)
        return changed
    tiles = images.reshape([n, 4, height // 4, 4, width // 4, channels]).transpose(0, 1, 3, 2, 4, 5)
    tiles = tiles.reshape([n, 16, height // 4, width // 4, channels])
    tiles = np.stack([image[rng.permutation(16)] for image in tiles])
    tiles = tiles.reshape([n, 4, 4, height // 4, width // 4, channels]).transpose(0, 1, 3, 2, 4, 5)
    return tiles.reshape(images.shape)


def shuffled_pixels(images: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """The pixels of each image in an order of chance: its grey levels without its shapes."""
    flat = images.reshape([len(images), -1, images.shape[-1]])
    return np.stack([image[rng.permutation(len(image))] for image in flat]).reshape(images.shape)


def inverted(images: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """255 minus each grey level."""
    return 255 - images


def turned(images: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Each image a quarter turn to the left; a half turn where it is not square."""
    quarters = 1 if images.shape[1] == images.shape[2] else 2
    return np.ascontiguousarray(np.rot90(images, quarters, axes=(1, 2)))


def enlarged(images: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """The middle half of each image, twice as large."""
    height, width = images.shape[1:3]
    middle = images[:, height // 4 : height // 4 + height // 2, width // 4 : width // 4 + width // 2]
    return _resized(middle, (height, width))


def shrunk(images: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Four images, each half as large, side by side."""
    height, width = images.shape[1:3]
    small = _resized(images, (height // 2, width // 2))
    one, two, three = (np.roll(small, k, axis=0) for k in (1, 2, 3))
    top, bottom = np.concatenate([small, one], axis=2), np.concatenate([two, three], axis=2)
    return _resized(np.concatenate([top, bottom], axis=1), (height, width))


def mirrored_halves(images: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """The left half of each image and its mirror image."""
    width = images.shape[2]
    half = images[:, :, : width - width // 2]
    return np.concatenate([half, half[:, :, : width // 2][:, :, ::-1]], axis=2)


def coarse(images: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Four bits of each grey level."""
    return images & 0xF0


def thresholded(images: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Black and white: each image cut at the middle of its grey levels."""
    middle = (images.min((1, 2, 3), keepdims=True).astype(int) + images.max((1, 2, 3), keepdims=True)) // 2
    return np.where(images > middle, 255, 0).astype(np.uint8)


def averaged(images: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """The mean of each image and the one before it."""
    return _bytes((images.astype(np.float32) + np.roll(images, 1, axis=0)) / 2.0)


def through_jpeg(images: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Each image as JPEG of quality 20 brings it back."""
    found = []
    for image in images:
        file = io.BytesIO()
        PIL.Image.fromarray(image.squeeze()).save(file, "JPEG", quality=20)
        found.append(np.asarray(PIL.Image.open(file)).reshape(image.shape))
    return np.stack(found)


CHANGES: dict[str, Change] = {
    "blurred": blurred,
    "with noise": with_noise,
    "with salt and pepper": with_salt,
    "with a patch of another": with_patch,
    "tiles shuffled": shuffled_tiles,
    "pixels shuffled": shuffled_pixels,
    "inverted": inverted,
    "turned": turned,
    "enlarged": enlarged,
    "four in one": shrunk,
    "halves mirrored": mirrored_halves,
    "16 grey levels": coarse,
    "black and white": thresholded,
    "two averaged": averaged,
    "through JPEG": through_jpeg,
}


def glyphs(count: int, shape: Shape, seed: int) -> np.ndarray:
    """Letters of three alphabets and fonts, white on black, or each in two colours: `[count, H, W, C]`."""
    rng = np.random.RandomState(seed)
    paths = [matplotlib.font_manager.findfont(name) for name in _FONTS]
    found = []
    for _ in range(count):
        font = PIL.ImageFont.truetype(
            paths[rng.randint(len(paths))], 4 * rng.randint(shape[0] // 2, shape[0])
        )
        page = PIL.Image.new("L", (4 * shape[1], 4 * shape[0]), 0)
        where = (2 * shape[1] + rng.randint(-8, 9), 2 * shape[0] + rng.randint(-8, 9))
        PIL.ImageDraw.Draw(page).text(where, _GLYPHS[rng.randint(len(_GLYPHS))], 255, font, anchor="mm")
        found.append(np.asarray(page.resize(shape[1::-1], PIL.Image.Resampling.BOX)))
    return _coloured(np.stack(found), shape[-1], rng)


def strokes(count: int, shape: Shape, seed: int) -> np.ndarray:
    """Drawings of a few strokes, as of a pen: uint8 `[count, H, W, C]`."""
    rng = np.random.RandomState(seed)
    found = []
    for _ in range(count):
        page = PIL.Image.new("L", (4 * shape[1], 4 * shape[0]), 0)
        draw = PIL.ImageDraw.Draw(page)
        for _ in range(rng.randint(1, 5)):
            turns = np.cumsum(rng.normal(0.0, 0.3, 24)) + rng.uniform(0, 6.3)
            steps = rng.uniform(0.5, 1.2) * shape[0] / 6 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
            points = np.cumsum(steps, axis=0) + rng.uniform(1.0, 3.0, 2) * shape[0]
            draw.line([tuple(point) for point in points], 255, rng.randint(4, 11), "curve")
        found.append(np.asarray(page.resize(shape[1::-1], PIL.Image.Resampling.BOX)))
    return _coloured(np.stack(found), shape[-1], rng)


def smooth_fields(count: int, shape: Shape, seed: int) -> np.ndarray:
    """Noise whose spectrum falls as 1 / f, as that of photographs does: uint8 `[count, H, W, C]`."""
    rng = np.random.RandomState(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), indexing="ij"))
    spectrum = np.fft.fft2(rng.normal(size=(count, shape[-1], *shape[:2])))
    fields = np.fft.ifft2(spectrum / np.maximum(frequency, 1.0 / shape[0])).real
    fields /= fields.std((2, 3), keepdims=True)
    return _bytes(127.5 + 50.0 * fields).transpose(0, 2, 3, 1)


def stripes(count: int, shape: Shape, seed: int) -> np.ndarray:
    """Waves of one direction and wavelength each: uint8 `[count, H, W, C]`."""
    rng = np.random.RandomState(seed)
    y, x = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    angle, length, phase = rng.uniform(0, 6.3, count), rng.uniform(2, 16, count), rng.uniform(0, 6.3, count)
    turn = 2 * np.pi / length[:, None, None]
    wave = np.sin(
        turn * (np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y) + phase[:, None, None]
    )
    return _coloured(_bytes(127.5 + 127.5 * wave), shape[-1], rng)


MADE: dict[str, Callable[[int, Shape, int], np.ndarray]] = {
    "glyphs": glyphs,
    "strokes": strokes,
    "1/f noise": smooth_fields,
    "stripes": stripes,
}


NEAR = ("turned", "halves mirrored", "two averaged")  # own images that still look like own ones


def digest(images: np.ndarray) -> str:
    """A name for the content of images."""
    return hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()[:24]


def made(own: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Every set of this module, each as many images as `own` and of their shape.

    Args:
      own: Images of the data that a model was trained on, but none that it saw: uint8 `[N, H, W, C]`.
      seed: Of chance.

    Returns:
      dict from a set's name to uint8 `[N, H, W, C]`.
    """
    sets = {name: change(own, np.random.RandomState(seed)) for name, change in CHANGES.items()}
    return sets | {name: make(len(own), own.shape[1:], seed) for name, make in MADE.items()}


def _resized(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return images if images.shape[1:3] == size else operations.resize(images, size)


def _coloured(grey: np.ndarray, channels: int, rng: np.random.RandomState) -> np.ndarray:
    """Grey images `[N, H, W]` as they are; where there are channels, each between two colours of chance."""
    if channels == 1:
        return grey[..., np.newaxis]
    share = grey[..., np.newaxis] / 255.0
    paper, ink = rng.uniform(0, 255, (2, len(grey), 1, 1, channels))
    return _bytes(paper + share * (ink - paper))
