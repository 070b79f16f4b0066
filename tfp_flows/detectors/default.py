"""The detector to begin with: three complementary tests in one, fitted to own images alone."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_flows import data
from tfp_flows.detectors import (
    code_length,
    image_statistics,
    mixture,
    neighbours,
    surprise,
    tail_tests,
    terms,
)
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.input_complexity import png_bits
from tfp_flows.detectors.pictures import Pictures
from tfp_flows.distributions.protocols import DensityModel

NEIGHBOURS = f"neighbours_{neighbours.POINTS}"
KEPT = ("normal_loc", "normal_scale", "normal_precisions")  # for `columns`
PNG_CHANNELS = 4  # PNG has no images of more
NUM_TEXTURE = image_statistics.NUM_DETAILS + image_statistics.NUM_SMALLER  # beside the codes


class Default(surprise.MapOfSurprise, Detector):
    """score(x) = log (sum_m w_m / p_m(x)) / sum_m w_m, the harmonic mean of three tail fractions.

    Each test is a density of statistics, fitted to in-distribution images; p_m(x) is the share of held-out
    images that are as unlikely under it as x (`tails.log_tails`, which go on beyond the largest of them):

      * likelihood: what log p(x) consists of (`terms.terms_of`) together with the lengths of two lossless
        codes, PNG's and `code_length.adaptive_bits`: a mixture of 4 normal distributions. A likelihood that
        is high only because the image is simple is found by it, and so is one that is split unusually;
      * texture: the codes' lengths, statistics of fine detail (`image_statistics.details`), and a code's
        length of the image at half and a quarter of its size: a mixture of 8 normal distributions;
      * layout: where light and colour are on a grid of 8 x 8 (`image_statistics.layout`), its 24 principal
        components and what they leave out: a mixture of 20 normal distributions.

    Texture and layout ask nothing of the model, and so may be fitted to what it was trained on: to
    `training_images` of `fit`, if they are more than the others. 10,000 are enough.

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

    Of few images, mixtures have fewer components: the texture's is one, its covariance shrunk as Ledoit and
    Wolf do, below 2,400 images. No foreign image is seen; nothing needs to be set.
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
    most_training_images = 10_000
    training_statistics: np.ndarray | None = None
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
        said = tf.cast(terms.terms_of(self.models[0], images), tf.float64)
        return tf.concat([said, _without_model(images, self.settings["png"])], axis=-1)

    def _see_training_images(self, images: np.ndarray | None) -> None:
        vectors = self.statistics.are_vectors
        self.training_statistics = (
            None if images is None or vectors else statistics_without_model(images, self.settings["png"])
        )

    def _fit_statistics(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        if len(statistics) < 2:
            raise DetectorError(f"{self.name}: fit needs at least two images, got {len(statistics)}.")
        found = {"typical": np.median(statistics, axis=0)}  # `load` tries the formula on as many statistics
        for name, rows in self._rows_to_fit(statistics).items():
            arrays = tail_tests.fit(rows, name, weighed=not self.statistics.are_vectors)
            found |= {f"{name}_{key}": value for key, value in arrays.items()}
        if self.statistics.are_vectors:
            size = self.statistics.known_image_shape()[0]
            normal = mixture.fit_normal(statistics[:, -size:])
            found |= {f"normal_{key}": normal[key] for key in ("loc", "scale", "precisions")}
        return found

    def _rows_to_fit(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        """The statistics that each test is fitted to, by name."""
        if self.statistics.are_vectors:
            return _of_vectors(statistics, self.statistics.known_image_shape()[0])
        found = groups_of(statistics, NUM_TEXTURE + self._num_codes())._asdict()
        more = self.training_statistics
        if more is None or len(more) <= len(statistics):
            return found
        groups = groups_of(more, NUM_TEXTURE + self._num_codes())
        return found | {"texture": groups.texture, "layout": groups.layout}

    def _num_codes(self) -> int:
        shape = self.statistics.image_shape
        return 2 if self.settings.get("png", True) and (shape is None or shape[-1] <= PNG_CHANNELS) else 1

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        logs = tf.stack(log_tails(statistics, fitted), axis=-1)
        weights = tf.stack([fitted[f"{name}_weight"] for name in _tests_of(fitted)])
        return tf.reduce_logsumexp(tf.math.log(weights / tf.reduce_sum(weights)) - logs, axis=-1)

    def _needed(self) -> tuple[str, ...]:
        if self.statistics.are_vectors:
            return "likelihood_means", NEIGHBOURS
        return tuple(f"{name}_means" for name in self.TESTS)


def statistics_without_model(images: np.ndarray, png: bool = True, batch_size: int = 256) -> np.ndarray:
    """What is asked of images uint8 `[N, H, W, C]` alone: codes, texture, layout, float64 `[N, S']`."""
    spec = tf.TensorSpec([None, *images.shape[1:]], tf.uint8)
    function = tf.function(lambda batch: _without_model(batch, png), input_signature=[spec], autograph=False)
    batches = data.evaluation_batches(images, batch_size)
    return np.concatenate([function(batch).numpy() for batch in batches])


def _without_model(images: tf.Tensor, png: bool) -> tf.Tensor:
    codes = [code_length.adaptive_bits(images)]
    if png and images.shape[-1] <= PNG_CHANNELS:
        codes.append(tf.cast(png_bits(images), tf.float32))
    smaller = [code_length.adaptive_bits(small) for small in image_statistics.smaller(images)]
    seen = [
        tf.stack(codes, axis=-1),
        image_statistics.details(images),
        tf.stack(smaller, axis=-1),
        image_statistics.layout(images),
    ]
    return tf.concat([tf.cast(part, tf.float64) for part in seen], axis=-1)


class Groups(NamedTuple):
    """The statistics that each test of images looks at: `[B, ...]`."""

    likelihood: Any
    texture: Any
    layout: Any


def groups_of(statistics: Any, num_texture: int = NUM_TEXTURE + 2) -> Groups:
    """Statistics `[B, S]` by test: terms and codes; the last `num_texture` before the layout; the layout."""
    seen, layout = _before_and_after(statistics, image_statistics.NUM_LAYOUT)
    likelihood, _ = _before_and_after(seen, NUM_TEXTURE)
    return Groups(likelihood, seen[:, -num_texture:], layout)


def log_tails(statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> list[tf.Tensor]:
    """log p_m of statistics `[B, S]`, for each test: `[B]`."""
    if NEIGHBOURS in fitted:
        rows_of = _of_vectors(statistics, fitted[NEIGHBOURS].shape[1])
    else:
        rows_of = groups_of(statistics, fitted["texture_loc"].shape[0])._asdict()
    found = []
    for name, rows in rows_of.items():
        arrays = {key.removeprefix(f"{name}_"): v for key, v in fitted.items() if key.startswith(f"{name}_")}
        found.append(tail_tests.log_tail(rows, arrays))
    return found


def _tests_of(fitted: Mapping[str, Any]) -> tuple[str, ...]:
    """The tests that arrays were fitted for."""
    return Default.TESTS_OF_VECTORS if NEIGHBOURS in fitted else Default.TESTS


def _of_vectors(statistics: Any, size: int) -> dict[str, Any]:
    """Statistics `[B, S]` by test: terms; log p, the first of them; the vectors themselves."""
    said, vectors = _before_and_after(statistics, size)
    return dict(zip(Default.TESTS_OF_VECTORS, (said, said[:, :1], vectors), strict=True))


def _before_and_after(statistics: Any, last: int) -> tuple[Any, Any]:
    """All but the last columns, and those."""
    return statistics[:, :-last], statistics[:, -last:]
