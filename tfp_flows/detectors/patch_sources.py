"""What is pasted into images as a patch: other images, other places, the image itself otherwise, noise.

All follow from in-distribution images: nothing is seen that they do not hold, but noise and plain colours.
"""

import numpy as np

OTHER, ELSEWHERE, SELF, NOISE, COLOUR = range(5)
KINDS = (0.55, 0.15, 0.14, 0.08, 0.08)  # how often
ALTERED = 0.3  # of what comes from an image
SCALED, MOST_SCALE = 0.15, 2.0
TURNED = 0.25  # by exchange of rows and columns
INVERTED = 0.1


def sources(
    x: np.ndarray, pool: np.ndarray, boxes: np.ndarray, whole: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """What comes to each place of each image: float32 `[B, H, W, C]`, not clipped to 0..255.

    Args:
      x: The images, float32 `[B, H, W, C]`, in grey levels.
      pool: uint8 `[N, H, W, C]`, other images.
      boxes: int `[B, 4]` around the patches, as from `pasting.shapes`.
      whole: bool `[B]`: images that a patch covers wholly. They get nothing of another image, which would be
        in distribution.
      rng: Of all that is random.
    """
    kinds = rng.choice(len(KINDS), len(x), p=KINDS)
    kinds[whole] = rng.choice([SELF, NOISE, COLOUR], int(whole.sum()))
    found = x.copy()
    taken = (kinds == OTHER) | (kinds == ELSEWHERE)
    origin = np.where((kinds == OTHER)[:, None, None, None], pool[rng.integers(0, len(pool), len(x))], x)
    found[taken] = _moved(origin, boxes, rng)[taken]
    altered = (kinds == SELF) | (taken & (rng.random(len(x)) < ALTERED))
    found[altered] = _altered(found[altered], rng)
    noise, colour = kinds == NOISE, kinds == COLOUR
    found[noise] = _noise(found[noise].shape, rng)
    found[colour] = rng.uniform(0, 255, [int(colour.sum()), 1, 1, x.shape[-1]])
    return found


def _moved(origin: np.ndarray, boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images whose contents within the boxes come from boxes elsewhere in `origin`."""
    count, height, width, _ = origin.shape
    rows = _places(boxes[:, 0], boxes[:, 2], height, rng)[:, :, None]
    columns = _places(boxes[:, 1], boxes[:, 3], width, rng)[:, None, :]
    index = np.arange(count)[:, None, None]
    found = origin[index, rows, columns]
    if height == width:
        turned = rng.random(count) < TURNED
        found[turned] = origin[index, columns, rows][turned]
    return found


def _places(first: np.ndarray, end: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Along a side, where what comes to each place comes from: int `[B, size]`.

    The length from `first` to `end` `[B]` comes from one inside the image, of the same or another scale,
    mirrored or not.
    """
    count, length = len(first), (end - first)[:, None]
    scale = np.where(rng.random(count) < SCALED, rng.uniform(1 / MOST_SCALE, MOST_SCALE, count), 1.0)
    scale = np.minimum(scale[:, None], size / length)
    start = np.floor(rng.random([count, 1]) * (size - np.ceil(scale * length) + 1))
    place = np.arange(size) - first[:, None]
    place = np.where(rng.random([count, 1]) < 0.5, length - 1 - place, place)
    return np.clip(np.floor(start + scale * (place + 0.5)), 0, size - 1).astype(int)


def _altered(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images with another contrast and brightness, other colours, another sharpness, or grain."""
    count, _, _, channels = x.shape
    each, colours = (count, 1, 1, 1), (count, 1, 1, channels)
    mean = x.mean(axis=(1, 2), keepdims=True)
    gain = np.exp(rng.uniform(-1.2, 0.8, each)) * np.where(rng.random(each) < INVERTED, -1, 1)
    blurred = _blurred(x)
    blurred = np.where(rng.random(each) < 0.5, blurred, _blurred(_blurred(blurred)))
    found = [
        mean + gain * (x - mean) + rng.normal(0, 30, each),
        x * np.exp(rng.normal(0, 0.3, colours)) + rng.normal(0, 15, colours),
        blurred,
        2 * x - blurred,
        x + rng.normal(0, 1, x.shape) * rng.uniform(4, 40, each),
    ]
    return np.stack(found)[rng.integers(0, len(found), count), np.arange(count)].astype(np.float32)


def _blurred(x: np.ndarray) -> np.ndarray:
    """The means of 3 x 3 pixels by the weights 1, 2, 1 along each side."""
    padded = np.pad(x, [(0, 0), (1, 1), (0, 0), (0, 0)], mode="edge")
    x = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (0, 0)], mode="edge")
    return (padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]) / 4


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Uniform or normal noise, of any strength; some is grey, some coarse."""
    each = (shape[0], 1, 1, 1)
    normal = rng.uniform(0, 255, each) + rng.uniform(10, 80, each) * rng.normal(0, 1, shape)
    found = np.where(rng.random(each) < 0.5, rng.uniform(0, 255, shape), normal)
    found = np.where(rng.random(each) < 0.3, found[..., :1], found)
    coarse = found[:, np.arange(shape[1]) // 2][:, :, np.arange(shape[2]) // 2]
    return np.where(rng.random(each) < 0.3, coarse, found)
