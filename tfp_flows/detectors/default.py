"""The detector to begin with: three complementary tests in one, fitted to own images alone."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_flows.detectors import code_length, image_statistics, mixture, neighbours, surprise, tails, terms
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.input_complexity import png_bits
from tfp_flows.detectors.pictures import Pictures
from tfp_flows.distributions.protocols import DensityModel

FOLDS, BLOCK = 4, 1_024
NEIGHBOURS = f"neighbours_{neighbours.POINTS}"
KEPT = ("normal_loc", "normal_scale", "normal_precisions")  # for `columns`
PNG_CHANNELS = 4  # PNG has no images of more
LIKELIHOOD_COMPONENTS, LAYOUT_COMPONENTS, LAYOUT_SIZE = 4, 20, 24
NUM_TEXTURE = image_statistics.NUM_DETAILS + image_statistics.NUM_SMALLER
LEAST_KNOWLEDGE = 0.1  # so that no test counts for nothing
Fit = Callable[[np.ndarray], mixture.Arrays]


class Default(surprise.MapOfSurprise, Detector):
    """score(x) = log (sum_m w_m / p_m(x)) / sum_m w_m, the harmonic mean of three tail fractions.

    Each test is a density of statistics, fitted to in-distribution images; p_m(x) is the share of held-out
    images that are as unlikely under it as x (`tails.log_tails`, which go on beyond the largest of them):

      * likelihood: what log p(x) consists of (`terms.terms_of`) together with the lengths of two lossless
        codes, PNG's and `code_length.adaptive_bits`: a mixture of 4 normal distributions. A likelihood that
        is high only because the image is simple is found by it, and so is one that is split unusually;
      * texture: the same with statistics of fine detail (`image_statistics.details`), and the code's length
        of the image at half and a quarter of its size: one normal distribution, its covariance shrunk as
        Ledoit and Wolf do;
      * layout: where light and colour are on a grid of 8 x 8 (`image_statistics.layout`), its 24 principal
        components and what they leave out: a mixture of 20 normal distributions.

    The harmonic mean is small where one of the p_m is: an image needs to be strange in one way only, and
    tests that find nothing cost little. As a p-value it would be valid up to a constant whatever the
    dependence [2]; here `calibrate` makes it exact. A test counts by what it knows of the data:

        w_m = max(2 A_m - 1, 0.1)^2

    A_m is the probability that a row of statistics (of principal components of the layout) whose columns
    were shuffled among all rows looks stranger than a held-out one. Photographs of anything have hardly a
    layout in common, so theirs counts little.

    Of vectors there are other tests, which all count the same: likelihood, without codes; density, log p
    alone, where only a low one is strange; and neighbours, the distance to the nearest vector that `fit` was
    given (`neighbours.log_distance`). `columns` says which columns are strange.

    Of few images, mixtures have fewer components. No foreign image is seen; nothing needs to be set.
    `tests` says how each test judges; `score_map` is that of `density_of_states`. `python -m
    analysis.default_detector` is the study by which members and rule were chosen: see docs/default.md.

    #### References

    [1]: Joan Serra et al. Input complexity and out-of-distribution detection with likelihood-based
         generative models. ICLR 2020. https://arxiv.org/abs/1909.11480
    [2]: Daniel Wilson. The harmonic mean p-value for combining dependent tests. PNAS 2019.
    [3]: Warren Morningstar et al. Density of states estimation for out of distribution detection.
         AISTATS 2021. https://arxiv.org/abs/2006.09273
    """

    name = "default"
    exportable = True
    for_xla = "png=false"
    TESTS: ClassVar[tuple[str, ...]] = ("likelihood", "texture", "layout")
    TESTS_OF_VECTORS: ClassVar[tuple[str, ...]] = ("likelihood", "density", "neighbours")
    unseen_by_formulas = KEPT

    def __init__(self, model: DensityModel, png: bool = True, batch_size: int = 256):
        """Takes the density model.

        Args:
          model: Anything with `log_prob` of images or of vectors; a flow's and a VAE's terms are looked at
            too.
          png: Whether PNG is one of the codes. XLA, and so StableHLO, has none.
          batch_size: Images at once; has no influence on the result but for rounding.

        Raises:
          DetectorError: If it has no `log_prob`.
        """
        super().__init__([model], {"png": bool(png)}, batch_size)

    def tests(self, images: Pictures) -> dict[str, np.ndarray]:
        """The tail fraction of each image under each test, float64 `[N]`: the smaller, the stranger.

        Raises:
          DetectorError: If `fit` must come first, or the images do not fit the model.
        """
        self.formula.check_fitted()
        array = self._images(images)
        names = _tests_of(self.fitted)
        if not len(array):
            return {name: np.zeros([0]) for name in names}
        statistics = tf.constant(self.statistics(array), tf.float64)
        logs = log_tails(statistics, {name: tf.constant(value) for name, value in self.fitted.items()})
        # What is no number, as of a log p of minus infinity, is as strange as can be.
        fractions = (np.nan_to_num(np.exp(log.numpy()), nan=0.0) for log in logs)
        return dict(zip(names, fractions, strict=True))

    def columns(self, vectors: npt.ArrayLike) -> np.ndarray:
        """How strange each number of vectors is, given all others of its vector: float64 `[N, D]`.

            r_i = (x_i - E[x_i | x_j, j != i]) / std[x_i | x_j, j != i] = (P (x - mu))_i / sqrt(P_ii)

        of the normal distribution that `fit` found, P the inverse of its covariance: in standard deviations,
        and with a sign.

        Raises:
          DetectorError: If `fit` must come first, or these are no vectors of the model's.
        """
        self.formula.check_fitted()
        array = self._images(vectors)
        if not self.statistics.are_vectors:
            raise DetectorError(f"{self.name}: images [H, W, C] have no columns: see score_map.")
        whitening = self.fitted["normal_precisions"][0]
        precision = whitening @ whitening.T
        standardised = (array - self.fitted["normal_loc"]) / self.fitted["normal_scale"]
        return standardised @ precision / np.sqrt(np.diag(precision))

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        if self.statistics.are_vectors:
            said = terms.terms_of(self.models[0], images)
            return tf.concat([tf.cast(part, tf.float64) for part in (said, images)], axis=-1)
        codes = [code_length.adaptive_bits(images)]
        if self.settings["png"] and images.shape[-1] <= PNG_CHANNELS:
            codes.append(tf.cast(png_bits(images), tf.float32))
        said = tf.cast(terms.terms_of(self.models[0], images), tf.float64)
        seen = [
            tf.stack(codes, axis=-1),
            image_statistics.details(images),
            tf.stack(
                [code_length.adaptive_bits(small) for small in image_statistics.smaller(images)], axis=-1
            ),
            image_statistics.layout(images),
        ]
        return tf.concat([said, *(tf.cast(part, tf.float64) for part in seen)], axis=-1)

    def _fit_statistics(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        if len(statistics) < 2:
            raise DetectorError(f"{self.name}: fit needs at least two images, got {len(statistics)}.")
        found = {"typical": np.median(statistics, axis=0)}  # `load` tries the formula on as many statistics
        if self.statistics.are_vectors:
            return found | _fit_vectors(statistics, self.statistics.known_image_shape()[0])
        for name, rows in groups_of(statistics)._asdict().items():
            found |= _named(name, _fit_test(rows, _fit_of(name, len(rows))))
        return found

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        logs = tf.stack(log_tails(statistics, fitted), axis=-1)
        weights = tf.stack([fitted[f"{name}_weight"] for name in _tests_of(fitted)])
        return tf.reduce_logsumexp(tf.math.log(weights / tf.reduce_sum(weights)) - logs, axis=-1)

    def _needed(self) -> tuple[str, ...]:
        if self.statistics.are_vectors:
            return "likelihood_means", NEIGHBOURS
        return tuple(f"{name}_means" for name in self.TESTS)


class Groups(NamedTuple):
    """The statistics that each test looks at: `[B, ...]`."""

    likelihood: Any
    texture: Any
    layout: Any


def groups_of(statistics: Any) -> Groups:
    """Statistics `[B, S]` by test: terms and codes; these and details; the layout."""
    texture, layout = _before_and_after(statistics, image_statistics.NUM_LAYOUT)
    likelihood, _ = _before_and_after(texture, NUM_TEXTURE)
    return Groups(likelihood, texture, layout)


def _by_test(statistics: Any, size: int | None) -> dict[str, Any]:
    """Statistics `[B, S]` by test, `size` being that of vectors, None of images."""
    if size is None:
        return groups_of(statistics)._asdict()
    said, vectors = _before_and_after(statistics, size)
    return dict(zip(Default.TESTS_OF_VECTORS, (said, said[:, :1], vectors), strict=True))


def _tests_of(fitted: Mapping[str, Any]) -> tuple[str, ...]:
    """The tests that arrays were fitted for."""
    return Default.TESTS_OF_VECTORS if NEIGHBOURS in fitted else Default.TESTS


def _fit_vectors(statistics: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """The arrays of all tests of vectors, and of the normal distribution that `columns` needs."""
    fits: dict[str, Fit] = {
        "likelihood": _fit_likelihood,
        "density": lambda rows: {},
        "neighbours": neighbours.fit_neighbours,
    }
    found = _named("normal", mixture.fit_normal(statistics[:, -size:]))
    for name, rows in _by_test(statistics, size).items():
        # A column alone, shuffled, is what it was: what a test knows is not asked.
        tail = tails.fit_tails(_held_out(rows, fits[name])[:, np.newaxis])
        found |= _named(name, fits[name](rows) | tail | {"weight": np.array(1.0)})
    return {name: found[name] for name in found if not name.startswith("normal_") or name in KEPT}


def _named(test: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{test}_{key}": value for key, value in arrays.items()}


def _before_and_after(statistics: Any, last: int) -> tuple[Any, Any]:
    """All but the last columns, and those."""
    return statistics[:, :-last], statistics[:, -last:]


def log_tails(statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> list[tf.Tensor]:
    """log p_m of statistics `[B, S]`, for each test: `[B]`."""
    found = []
    size = fitted[NEIGHBOURS].shape[1] if NEIGHBOURS in fitted else None
    for name, rows in _by_test(statistics, size).items():
        arrays = {key.removeprefix(f"{name}_"): v for key, v in fitted.items() if key.startswith(f"{name}_")}
        found.append(tails.log_tails(_surprise(rows, arrays)[:, tf.newaxis], arrays)[:, 0])
    return found


def _surprise(rows: tf.Tensor, arrays: dict[str, tf.Tensor]) -> tf.Tensor:
    """What one test says of rows, the more the stranger, as -log density: `[B]`."""
    if neighbours.POINTS in arrays:
        return neighbours.log_distance(rows, arrays)
    if "precisions" not in arrays:
        return -rows[:, 0]
    return mixture.surprise(_coordinates(rows, arrays), arrays)


def _coordinates(rows: tf.Tensor, arrays: dict[str, Any]) -> tf.Tensor:
    """What a test's density is one of."""
    return _reduced(rows, arrays) if "axes" in arrays else rows


def _fit_test(rows: np.ndarray, fit: Fit) -> mixture.Arrays:
    """The arrays of one test: its density, its tail, its weight."""
    arrays = fit(rows)
    held_out = _held_out(rows, fit)
    coordinates = _coordinates(tf.constant(rows), arrays).numpy()
    rng = np.random.RandomState(0)
    shuffled = np.stack([rng.permutation(column) for column in coordinates.T], axis=1)
    knows = _probability_of_more(held_out, mixture.surprise(tf.constant(shuffled), arrays).numpy())
    weight = np.array(max(2.0 * knows - 1.0, LEAST_KNOWLEDGE) ** 2)
    return arrays | tails.fit_tails(held_out[:, np.newaxis]) | {"weight": weight}


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
    fold = np.random.RandomState(0).permutation(len(rows)) % min(FOLDS, len(rows))
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
    fits: dict[str, Fit] = {
        "likelihood": _fit_likelihood,
        "texture": mixture.fit_normal,
        "layout": functools.partial(_fit_layout, size=size),
    }
    return fits[test]
