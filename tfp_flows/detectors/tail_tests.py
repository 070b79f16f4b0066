"""A test that a detector combines: a density of statistics, and how unlikely own images are under it."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_flows.detectors import mixture, neighbours, tails

FOLDS, FEWER_FOLDS = 4, 2
BLOCK = 1_024  # rows at once
MANY_ROWS = 4000  # of which half are enough to fit to
LIKELIHOOD_COMPONENTS, TEXTURE_COMPONENTS, LAYOUT_COMPONENTS = 4, 8, 20  # at most
LAYOUT_SIZE = 24
LEAST_VARIANCE = 0.05  # of a texture's component: one of a few odd images, such as grey ones, is no spike
LEAST_KNOWLEDGE = 0.1  # so that no test counts for nothing
Fit = Callable[[np.ndarray], mixture.Arrays]


def fit(rows: np.ndarray, test: str, weighed: bool = True) -> mixture.Arrays:
    """The arrays of one test: its density, its tail, its weight.

        w = max(2 A - 1, 0.1)^2

    A is the probability that a row whose columns were shuffled among all rows is more surprising than a
    held-out one.

    Args:
      rows: Statistics of own images `[n, d]`.
      test: "likelihood", "texture" or "layout"; or, of vectors, "likelihood", "density" or "neighbours".
      weighed: Whether it counts by what it knows; else w = 1. A column alone, shuffled, is what it was.

    Returns:
      dict of the arrays of `mixture.fit_mixture` and `tails.fit_tails`; `weight`; `centre` and `axes`, where
      the density is one of principal components.
    """
    fit_density = _fit_of(test, len(rows))
    arrays = fit_density(rows)
    held_out = _held_out(rows, fit_density)
    if not weighed:
        return arrays | tails.fit_tails(held_out[:, np.newaxis]) | {"weight": np.array(1.0)}
    coordinates = _coordinates(tf.constant(rows), arrays).numpy()
    rng = np.random.RandomState(0)
    shuffled = np.stack([rng.permutation(column) for column in coordinates.T], axis=1)
    knows = _probability_of_more(held_out, mixture.surprise(tf.constant(shuffled), arrays).numpy())
    weight = np.array(max(2.0 * knows - 1.0, LEAST_KNOWLEDGE) ** 2)
    return arrays | tails.fit_tails(held_out[:, np.newaxis]) | {"weight": weight}


def log_tail(rows: tf.Tensor, arrays: dict[str, tf.Tensor]) -> tf.Tensor:
    """log of the share of held-out images that are as unlikely as rows `[B, d]`: `[B]`."""
    return tails.log_tails(_surprise(rows, arrays)[:, tf.newaxis], arrays)[:, 0]


def _surprise(rows: tf.Tensor, arrays: dict[str, tf.Tensor]) -> tf.Tensor:
    """What one test says of rows `[B, d]`, the more the stranger; as -log density: `[B]`."""
    if neighbours.POINTS in arrays:
        return neighbours.log_distance(rows, arrays)
    if "means" not in arrays:
        return -rows[:, 0]  # log p itself
    return mixture.surprise(_coordinates(rows, arrays), arrays)


def _coordinates(rows: tf.Tensor, arrays: dict[str, Any]) -> tf.Tensor:
    """What a test's density is one of."""
    return _reduced(rows, arrays) if "axes" in arrays else rows


def _probability_of_more(reference: np.ndarray, values: np.ndarray) -> float:
    """P(value > reference), ties counted half."""
    ascending = np.sort(reference)
    below = [np.searchsorted(ascending, values, side) for side in ("left", "right")]
    return float(np.mean(below) / len(ascending))


def _held_out(rows: np.ndarray, fit: Fit) -> np.ndarray:
    """The surprise of each row under a density that was fitted without it, fold by fold: `[n]`.

    That of rows fitted to is too small, the more so the more components there are: all others
    would look strange then.
    """
    folds = FEWER_FOLDS if len(rows) > MANY_ROWS else min(FOLDS, len(rows))
    fold = np.random.RandomState(0).permutation(len(rows)) % folds
    found = np.zeros(len(rows))
    for k in np.unique(fold):
        others = rows[fold != k] if (fold != k).sum() > 1 else rows
        arrays, own = fit(others), np.flatnonzero(fold == k)
        for start in range(0, len(own), BLOCK):  # neighbours are compared with thousands of others
            block = own[start : start + BLOCK]
            found[block] = _surprise(tf.constant(rows[block]), arrays).numpy()
    return found


def _fit_likelihood(rows: np.ndarray) -> mixture.Arrays:
    return mixture.fit_mixture(rows, int(np.clip(len(rows) // 100, 1, LIKELIHOOD_COMPONENTS)))


def _fit_texture(rows: np.ndarray, components: int) -> mixture.Arrays:
    if components == 1:
        return mixture.fit_normal(rows)
    return mixture.fit_mixture(rows, components, LEAST_VARIANCE)


def _fit_layout(rows: np.ndarray, size: int) -> mixture.Arrays:
    """Of `size` principal components: the same in every fold, or densities could not be compared."""
    centre = rows.mean(axis=0)
    _, _, axes = np.linalg.svd(rows - centre, full_matrices=False)
    arrays = {"centre": centre, "axes": axes[:size].T}
    components = int(np.clip(len(rows) // 60, 1, LAYOUT_COMPONENTS))
    return mixture.fit_mixture(_reduced(tf.constant(rows), arrays).numpy(), components) | arrays


def _reduced(rows: tf.Tensor, arrays: Any) -> tf.Tensor:
    """Principal components of layouts, and log of the mean square that they leave out: `[B, d + 1]`."""
    centred = rows - arrays["centre"]
    components = centred @ arrays["axes"]
    rest = tf.reduce_sum(centred**2, axis=-1) - tf.reduce_sum(components**2, axis=-1)
    left_out = tf.math.log(tf.nn.relu(rest) / rows.shape[-1] + 1e-4)
    return tf.concat([components, left_out[:, tf.newaxis]], axis=-1)


def _fit_of(test: str, num_images: int) -> Fit:
    """How a test is fitted to so many images, and to each fold of them."""
    size = int(np.clip(num_images // 20, 1, LAYOUT_SIZE))
    components = int(np.clip(num_images // 1200, 1, TEXTURE_COMPONENTS))
    fits: dict[str, Fit] = {
        "likelihood": _fit_likelihood,
        "texture": functools.partial(_fit_texture, components=components),
        "density": lambda rows: {},
        "neighbours": neighbours.fit_neighbours,
        "layout": functools.partial(_fit_layout, size=size),
    }
    return fits[test]
