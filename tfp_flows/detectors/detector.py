"""The interface of every detector of out-of-distribution images."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_flows.data import Preparation
from tfp_flows.detectors import events, explanation, models, pictures, saving
from tfp_flows.detectors.conformal import Conformal
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.explanation import Explanation, Explanations
from tfp_flows.detectors.formula import Formula
from tfp_flows.detectors.hooks import Hooks
from tfp_flows.detectors.maps import Maps
from tfp_flows.detectors.names import check_batch_size, checked_settings
from tfp_flows.detectors.pictures import Pictures
from tfp_flows.detectors.statistics import Images, Statistics
from tfp_flows.distributions.protocols import DensityModel

BATCH_SIZE = 256


class Detector(Hooks):
    """Says how much an image, or a vector, looks out of distribution: a higher score is more so.

        score(x) = formula(statistics(x)),        p(x) = conformal.p_values(score(x))

    The statistics `[N, S]` are what the model says of images; the formula is arithmetic on them with arrays
    that `fit` found; scores of held-out images make p-values of scores. `fit` and `calibrate` see
    in-distribution images only, and different ones: those for `calibrate` must have been used for nothing
    else, or its p-values mean nothing.

    #### Example

    ```python
    detector = detectors.Default(model)         # anything with log_prob
    detector.fit(validation_images)             # uint8 [N, H, W, C]
    detector.calibrate(calibration_images)
    detector.score(images)                      # float32 [N]
    detector.predict(images, alpha=0.05)        # bool [N], True: out of distribution
    detector.save("detector")
    ```

    Of a model of vectors `[D]`, such as `tfp_flows.vector_flow`, it takes vectors `[N, D]` wherever images
    are named here; classes whose score is for images alone refuse such a model.

    What a subclass declares and implements: see `Hooks`.

    Attributes:
      statistics: `Statistics`: `statistics(images)` is float64 `[N, S]`.
      formula: `Formula`: `formula(statistics)` is float32 `[N]`.
      conformal: `Conformal`: `conformal.p_values(scores)` is float32 `[N]`.
      maps: `Maps`: `maps(images)` is float32 `[N, H, W]`.
      settings: Constructor arguments other than models, JSON-ready.
      models: List of the density models that it looks at.
      preparation: How pictures become its images, that of the run whose data it was fitted to; None where it
        was fitted to arrays.
      column_names: Of vectors, what their numbers are called; none where nothing says so.
    """

    statistics: Statistics
    preparation: Preparation | None = None
    column_names: tuple[str, ...] = ()

    def __init__(
        self,
        density_models: Sequence[DensityModel],
        settings: Mapping | None = None,
        batch_size: int = BATCH_SIZE,
    ):
        """Keeps the models.

        Args:
          density_models: Objects with `log_prob` over `[B, H, W, C]` grey levels.
          settings: Constructor arguments of the subclass, JSON-ready.
          batch_size: Images at once; has no influence on the result but for rounding.

        Raises:
          DetectorError: If one has no `log_prob`, their images differ in shape, or a setting makes no sense.
        """
        self.models = [models.need_density(model, self.name) for model in density_models]
        self.settings = checked_settings(self.name, settings or {})
        batch_size = check_batch_size(self.name, batch_size)
        shape = models.common_shape(self.models, self.name)
        if events.are_vectors(shape):
            events.refuse_vectors(self)
        self.statistics = Statistics(self, shape, batch_size, vector_dtype=models.vector_dtype(self.models))
        self.formula = Formula(self, batch_size)
        self.conformal = Conformal(self.name)
        self.maps = Maps(self, self.statistics, self.formula)

    def __repr__(self) -> str:
        """Its class and settings, such as "InputComplexity(codec='png')"; the models are not told."""
        return (
            f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.settings.items())})"
        )

    @classmethod
    def of_models(cls, density_models: Sequence[DensityModel], settings: Mapping) -> "Detector":
        """The detector of these models and `settings`; the reverse of the attributes.

        Raises:
          DetectorError: If it takes another number of models.
        """
        if len(density_models) != 1:
            raise DetectorError(f"{cls.name}: takes one model, got {len(density_models)}.")
        model: DensityModel = density_models[0]
        make: Callable[..., Detector] = cls
        return make(model, **settings)

    @classmethod
    def of_statistics(
        cls,
        statistics: Callable[[tf.Tensor], tf.Tensor],
        settings: Mapping,
        shares: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> Self:
        """A detector whose models are known by their statistics alone, as `loading.load` finds them.

        Args:
          statistics: `tf.function` as from `Statistics.compiled`.
          settings: As the attribute.
          shares: `tf.function` as from `Maps.compiled`, or None: then there are no maps.
        """
        detector = cls.__new__(cls)
        Detector.__init__(detector, [], settings)
        dtype = models.dtype_of_graph(statistics) or tf.float32
        detector.statistics = Statistics(detector, None, BATCH_SIZE, statistics, dtype)
        detector.maps = Maps(detector, detector.statistics, detector.formula, shares)
        return detector

    @classmethod
    def without_models(cls, settings: Mapping) -> Self:
        """A detector for statistics that are at hand already: it fits, scores and calibrates those."""

        def refuse(images):
            raise DetectorError(f"{cls.name}: has no model; its statistics must come from elsewhere.")

        return cls.of_statistics(refuse, settings)

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """(H, W, C), of vectors (D,), or None until images tell."""
        return self.statistics.image_shape

    @image_shape.setter
    def image_shape(self, shape: tuple[int, ...] | None) -> None:
        self.statistics.image_shape = shape

    @property
    def batch_size(self) -> int:
        """Images at once; has no influence on the result but for rounding."""
        return self.statistics.batch_size

    @batch_size.setter
    def batch_size(self, count: int) -> None:
        self.statistics.batch_size = self.formula.block_size = check_batch_size(self.name, count)

    @property
    def fitted(self) -> dict[str, np.ndarray]:
        """What `fit` found: dict from string to array."""
        return self.formula.fitted

    @fitted.setter
    def fitted(self, arrays: dict[str, np.ndarray]) -> None:
        self.formula.fitted = arrays

    @property
    def calibration_scores(self) -> np.ndarray | None:
        """Scores of the images given to `calibrate`, float32 `[n]`, ascending, or None before it."""
        return self.conformal.scores

    @calibration_scores.setter
    def calibration_scores(self, scores: np.ndarray | None) -> None:
        self.conformal.scores = scores

    def fit(
        self, images: Pictures, progress: str | None = None, training_images: Pictures | None = None
    ) -> Self:
        """Fits the score to in-distribution images uint8 `[N, H, W, C]`; returns the detector.

        Args:
          images: Array, or `data.ImageSet`; not those that will be given to `calibrate`, nor those that the
            models were trained on.
          progress: Label of a progress bar, or None for none.
          training_images: Those that they were trained on, or any others of that kind. A score that looks
            at images without a model too, as `Default` does, fits that part to these.

        Raises:
          DetectorError: If they do not fit the model, or are too few.
        """
        array = self._images(images)
        if not len(array):
            raise DetectorError(f"{self.name}: fit needs at least one image.")
        self.prepare(array)
        self.see_training_images(training_images)
        self.fit_statistics(self.statistics(array, progress))
        self.maps.remember(array)
        return self

    def prepare(self, images: Images) -> None:
        """What of `fit` must come before statistics can be computed."""
        if not self.prepares:
            return
        self.statistics.need_models("fitted again")
        self._prepare(self.statistics.checked(images))
        self.statistics.forget_graph()
        self.maps.forget_graph()

    def see_training_images(self, images: Pictures | None) -> None:
        """What of `fit` is made of images that the models were trained on, if there are any."""
        self._see_training_images(None if images is None else self._images(images))

    def fit_statistics(self, statistics: npt.ArrayLike) -> Self:
        """The rest of `fit`, from the statistics `[N, S]` of its images; returns the detector."""
        self.formula.fit(statistics)
        self.calibration_scores = None
        return self

    def score(self, images: Pictures, progress: str | None = None) -> np.ndarray:
        """The score of each image: float32 `[N]`, higher = more out of distribution.

        A score that is no number (the model overflowed) counts as infinite.

        Args:
          images: uint8 `[N, H, W, C]` of the model's shape; or pictures, one or a sequence: paths, PIL
            images, arrays of other shapes, which `preparation` makes such images of.
          progress: Label of a progress bar, or None for none.

        Raises:
          DetectorError: If `fit` must come first, or the images do not fit the model.
          DataError: If a picture cannot be had.
        """
        array = self._images(images)
        self.formula.check_fitted()
        return self.formula(self.statistics(array, progress))

    def score_statistics(self, statistics: np.ndarray) -> np.ndarray:
        """The score from the statistics `[N, S]`: float32 `[N]`."""
        return self.formula(statistics)

    def tests(self, images: Pictures) -> dict[str, np.ndarray]:
        """How each of the tests that a score combines judges images: tail fractions float64 `[N]`, by name.

        Empty where the score is no combination.
        """
        return {}

    def score_map(self, images: Pictures) -> np.ndarray:
        """Where in each image the score comes from: float32 `[N, H, W]`, higher = more out of distribution.

        Each class says what its map is. That of a score that is a sum over pixels (likelihood,
        likelihood_ratio, second_order) sums to the score; that of a two-sided one says how unusual each
        pixel's share in log p is, likelier or less likely: see `surprise`.

        Raises:
          DetectorError: If this score, or this model, has no such map.
        """
        return self.maps(self._images(images))

    def explain(self, images: Pictures, alpha: float = 0.05) -> Explanation | Explanations:
        """What the score of pictures is, what it means, and where in them it comes from; for people.

        ```python
        detectors.load("detector").explain("photo.jpg")      # in a notebook: a figure
        ```

        Args:
          images: One picture, or a sequence of them, as `score` takes them; or one vector, or several.
          alpha: Level of the verdict.

        Returns:
          `Explanation` of one picture; of a sequence, or of an array `[N, H, W, C]`, `Explanations`.

        Raises:
          DetectorError: If `fit` must come first, `alpha` is no number in (0, 1), or an image does not fit.
          DataError: If a picture cannot be had.
        """
        return explanation.explain(self, images, alpha)

    def _images(self, images: Pictures) -> np.ndarray:
        """Pictures as `score` takes them, as an array uint8 `[N, H, W, C]` of the model's shape."""
        if self.statistics.are_vectors and pictures.are_files(images):
            raise DetectorError(
                f"{self.name}: takes vectors {list(self.image_shape or ())}, and no pictures."
            )
        shape = events.image_shape(self.image_shape)
        return self.statistics.checked(pictures.as_images(images, self.preparation, shape, self.name))

    def calibrate(self, images: Pictures, progress: str | None = None) -> Self:
        """Keeps the scores of held-out in-distribution images for `p_value`; returns the detector."""
        self.conformal.calibrate(self.score(images, progress))
        return self

    def p_value(self, images: Pictures) -> np.ndarray:
        """The conformal p-value of each image, float32 `[N]`: see `calibration.p_value`.

        Raises:
          DetectorError: If `calibrate` must come first.
        """
        return self.conformal.p_values(self.score(images))

    def p_value_of_scores(self, scores: npt.ArrayLike) -> np.ndarray:
        """The p-value of each score `[N]`."""
        return self.conformal.p_values(scores)

    def predict(self, images: Pictures, alpha: float = 0.05) -> np.ndarray:
        """Whether each image is called out of distribution: bool `[N]`, p <= alpha.

        Of in-distribution images no more than a fraction `alpha` is, on average.
        """
        return self.conformal.predict(self.score(images), alpha)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the detector to a folder: see `saving.save`."""
        saving.save(self, path)

    def graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        """The part of `statistics` that is TensorFlow's: uint8 `[B, H, W, C]` -> float64 `[B, S]`."""
        return self.statistics.in_graph(images)

    def graph_score_statistics(self, statistics: tf.Tensor) -> tf.Tensor:
        """`score_statistics` in a graph."""
        return self.formula.in_graph(statistics)

    def graph_score(self, images: tf.Tensor) -> tf.Tensor:
        """`score` in a graph: uint8 `[B, H, W, C]` -> float32 `[B]`.

        Raises:
          DetectorError: If the detector is not `exportable`.
        """
        self.check_exportable()
        return self.formula.in_graph(self.statistics.in_graph(images))

    def check_exportable(self) -> None:
        """Raises `DetectorError` where the score does not run inside a graph."""
        if not self.exportable:
            raise DetectorError(
                f"{self.name}: this score does not run inside a graph; it cannot be exported."
            )
