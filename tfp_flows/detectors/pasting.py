"""Patches pasted into images, for a network that learns to find them: made of the images themselves.

    pasted = (1 - a m) x + a m s,    label = a m

m in [0, 1] is the shape of the patch `[H, W]`, a its opacity, s what is pasted (`patch_sources`).

#### References

[1]: Jeremy Tan et al. Detecting outliers with foreign patch interpolation. 2020.
     https://arxiv.org/abs/2011.04197
[2]: Hannah M. Schlueter et al. Natural synthetic anomalies for self-supervised anomaly detection and
     localization. ECCV 2022. https://arxiv.org/abs/2109.15222
[3]: Zeev Farbman et al. Coordinates for instant image cloning. SIGGRAPH 2009 (seamless edges without a
     linear system).
"""

import numpy as np

from tfp_flows.detectors import patch_sources

UNTOUCHED = 0.1  # of the images
WHOLE = 0.05  # are changed as a whole
SIDES = (0.12, 0.62)  # of a patch, of the image's
LEAST_SIDE = 2.0  # pixels
OPAQUE, LEAST_OPACITY = 0.65, 0.3
SOFT, MOST_SOFT = 0.3, 3.0  # of the edges; pixels from nothing to all
MATCHED, SEAMLESS = 0.1, 0.2  # of the patches, to the place that they come to
VISIBLE = 2.0  # grey levels, in the mean over the patch; where it changes less, there is none
STRAIGHT, ROUND, BLOB = range(3)
SHAPES = (0.55, 0.25, 0.2)  # how often


def pasted(images: np.ndarray, pool: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images with a patch each, and what is to be found in them.

    Args:
      images: uint8 `[B, H, W, C]`.
      pool: uint8 `[N, H, W, C]`, of which patches are taken.
      rng: Of all that is random.

    Returns:
      (images uint8 `[B, H, W, C]`, labels float32 `[B, H, W]` in [0, 1]); a few have no patch, and in a few
      the patch is all.
    """
    x = images.astype(np.float32)
    count = len(x)
    whole = rng.random(count) < WHOLE
    masks, boxes = shapes(count, images.shape[1], images.shape[2], rng)
    masks[whole] = 1.0
    sources = patch_sources.sources(x, pool, boxes, whole, rng)
    sources = _fitted_in(x, sources, masks, whole, rng)
    opacity = np.where(rng.random(count) < OPAQUE, 1.0, rng.uniform(LEAST_OPACITY, 1.0, count))
    opacity[rng.random(count) < UNTOUCHED] = 0.0
    labels = (opacity[:, None, None] * masks).astype(np.float32)
    found = np.rint(x + labels[..., None] * (np.clip(sources, 0, 255) - x))
    change = abs(found - x).mean(axis=-1).sum(axis=(1, 2)) / np.maximum(masks.sum(axis=(1, 2)), 1.0)
    labels[change < VISIBLE] = 0.0
    return found.astype(np.uint8), labels


def shapes(count: int, height: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rectangles, ellipses and blobs at random, with sharp or soft edges.

    Returns:
      (masks float32 `[count, H, W]` in [0, 1], boxes around them int `[count, 4]`: the first row and column,
      and those after the last).
    """
    sides = np.array([height, width])
    half = np.clip(rng.uniform(*SIDES, [count, 2]) * sides, LEAST_SIDE, None) / 2
    half = np.minimum(half, sides / 2)
    centre = half + rng.random([count, 2]) * (sides - 2 * half)
    rows = (np.arange(height) + 0.5 - centre[:, :1])[:, :, None]
    columns = (np.arange(width) + 0.5 - centre[:, 1:])[:, None, :]
    half_height, half_width = half[:, :1, None], half[:, 1:, None]
    kind = rng.choice(3, [count, 1, 1], p=SHAPES)
    straight = np.minimum(half_height - abs(rows), half_width - abs(columns))
    outline = _outline(np.arctan2(rows / half_height, columns / half_width), kind == BLOB, rng)
    radius = np.hypot(rows / half_height, columns / half_width)
    curved = (outline - radius) * np.minimum(half_height, half_width)
    depth = np.where(kind == STRAIGHT, straight, curved)  # pixels from the edge inwards
    softness = rng.uniform(0.5, MOST_SOFT, [count, 1, 1])
    softness = np.where(rng.random([count, 1, 1]) < SOFT, softness, 1e-3)
    masks = np.clip(depth / softness + 0.5, 0.0, 1.0).astype(np.float32)
    first, end = np.maximum(np.floor(centre - half), 0), np.minimum(np.ceil(centre + half), sides)
    return masks, np.concatenate([first, end], axis=1).astype(int)


def _outline(angle: np.ndarray, waved: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The radius of shapes in each direction, at most 1: 1 where not `waved`."""
    found = np.ones_like(angle)
    for k in range(2, 6):
        size, phase = rng.uniform(0, 0.4 / k, [len(angle), 1, 1]), rng.uniform(0, 7, [len(angle), 1, 1])
        found += waved * size * (np.cos(k * angle + phase) - 1)
    return found


def _fitted_in(
    x: np.ndarray, sources: np.ndarray, masks: np.ndarray, whole: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Sources, of which some get the brightness of the place: in the mean, or all along the edge."""
    draw = rng.random(len(x))
    matched = draw < MATCHED
    seamless = (draw > 1 - SEAMLESS) & ~whole
    weights = masks[matched][..., None]
    total = np.maximum(weights.sum(axis=(1, 2), keepdims=True), 1.0)
    sources[matched] += (weights * (x - sources)[matched]).sum(axis=(1, 2), keepdims=True) / total
    sources[seamless] += membrane((x - sources)[seamless], masks[seamless])
    return sources


def membrane(difference: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Smooth values inside shapes that go over into `difference` around them.

    The mean of the difference over the pixels around the shape, weighted by distance^-3: near the solution
    of Laplace's equation that Poisson blending asks for, as mean value coordinates [3] are.

    Args:
      difference: float32 `[B, H, W, C]`.
      masks: float32 `[B, H, W]`; a shape is where they are positive.

    Returns:
      float32 `[B, H, W, C]`; 0 where nothing is around the shape.
    """
    height, width = masks.shape[1:]
    inside = masks > 0
    padded = np.pad(inside, [(0, 0), (1, 1), (1, 1)])
    near = padded[:, :-2, 1:-1] | padded[:, 2:, 1:-1] | padded[:, 1:-1, :-2] | padded[:, 1:-1, 2:]
    ring = (near & ~inside).astype(np.float32)[..., None]
    distance = np.hypot(*np.meshgrid(*(_distances(n) for n in (height, width)), indexing="ij"))
    spectrum = np.fft.rfft2(np.maximum(distance, 0.5) ** -3.0)[None, :, :, None]

    def spread(values: np.ndarray) -> np.ndarray:
        transformed = np.fft.rfft2(values, (2 * height, 2 * width), axes=(1, 2))
        return np.fft.irfft2(transformed * spectrum, (2 * height, 2 * width), axes=(1, 2))[
            :, :height, :width
        ]

    return (spread(ring * difference) / np.maximum(spread(ring), 1e-6)).astype(np.float32)


def _distances(size: int) -> np.ndarray:
    """Along a side that is padded to twice its size and goes round."""
    return np.minimum(np.arange(2 * size), 2 * size - np.arange(2 * size))
