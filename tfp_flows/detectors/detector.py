"""The interface of every detector of out-of-distribution images."""

import time

import numpy as np
import tensorflow as tf
import tqdm

from tfp_flows import data
from tfp_flows.checks.images import check_image_batch
from tfp_flows.detectors import calibration, models, saving
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.numerics import parts


class Detector:
    """Says how much an image looks out of distribution: a higher score is more so.

        score(x) = formula(statistics(x), what was fitted)

    The statistics `[B, S]` are what the model says of an image; the formula is arithmetic on them with
    arrays that `fit` found. `fit` and `calibrate` see in-distribution images only, and different ones:
    those for `calibrate` must have been used for nothing else, or its p-values mean nothing.

    #### Example

    ```python
    detector = detectors.Typicality(model)      # anything with log_prob
    detector.fit(validation_images)             # uint8 [N, H, W, C]
    detector.calibrate(calibration_images)
    detector.score(images)                      # float32 [B]
    detector.predict(images, alpha=0.05)        # bool [B], True: out of distribution
    detector.save("typicality")
    ```

    A subclass has a `name`, and implements `_graph_statistics` (and `_host_statistics` for what is not made
    of TensorFlow), `_fit_statistics` and `_formula`; where its statistics themselves depend on
    in-distribution images, `_prepare`.

    Attributes:
      name: As in files and flags.
      exportable: Whether the whole score runs inside a graph, and so in an exported model.
      prepares: Whether the statistics depend on what `fit` saw.
      log_prob_first: Whether the first statistic is log p(x) under the first model.
      settings: Constructor arguments other than models, JSON-ready.
      models: List of the density models that it looks at.
      fitted: dict from string to array: what `fit` found.
      calibration_scores: float32 `[n]`, ascending, or None before `calibrate`.
    """

    name = None
    exportable = False
    prepares = False
    log_prob_first = True

    def __init__(self, density_models, settings=None, batch_size=256):
        """Keeps the models.

        Args:
          density_models: List of objects with `log_prob` over `[B, H, W, C]` grey levels.
          settings: Constructor arguments of the subclass, JSON-ready.
          batch_size: Images at once; has no influence on the result but for rounding.

        Raises:
          DetectorError: If one has no `log_prob`, or their images differ in shape.
        """
        self.models = list(density_models)
        self.settings = dict(settings or {})
        self.fitted = {}
        self.calibration_scores = None
        self._batch_size = batch_size
        self._compiled = None
        self._has_statistics_alone = False
        for model in self.models:
            models.need_density(model, self.name)
        shapes = {shape for shape in map(models.image_shape_of, self.models) if shape}
        if len(shapes) > 1:
            raise DetectorError(f"{self.name}: the models' images differ in shape: {sorted(shapes)}.")
        self.image_shape = next(iter(shapes), None)

    @classmethod
    def of_models(cls, density_models, settings):
        """The detector of these models and `settings`; the reverse of the attributes.

        Raises:
          DetectorError: If it takes another number of models.
        """
        if len(density_models) != 1:
            raise DetectorError(f"{cls.name}: takes one model, got {len(density_models)}.")
        return cls(density_models[0], **settings)

    @classmethod
    def of_statistics(cls, statistics, settings):
        """A detector whose model is known by its statistics alone, as `loading.load` finds them.

        Args:
          statistics: `tf.function` as from `compiled_statistics`.
          settings: As the attribute.
        """
        detector = cls.__new__(cls)
        Detector.__init__(detector, [], settings)
        detector._compiled = statistics
        detector._has_statistics_alone = True
        return detector

    def fit(self, images, progress=None):
        """Fits the score to in-distribution images uint8 `[N, H, W, C]`; returns the detector.

        Args:
          images: Array, or `data.ImageSet`; not those that will be given to `calibrate`.
          progress: Label of a progress bar, or None for none.

        Raises:
          DetectorError: If they do not fit the model, or are too few.
        """
        images = self._checked(images)
        if not len(images):
            raise DetectorError(f"{self.name}: fit needs at least one image.")
        self.prepare(images)
        return self.fit_statistics(self.statistics(images, progress))

    def prepare(self, images):
        """The part of `fit` that must come before statistics can be computed."""
        if not self.prepares:
            return
        self._check_not_restored("fitted again")
        self._prepare(self._checked(images))
        self._compiled = None

    def fit_statistics(self, statistics):
        """The rest of `fit`, from the statistics `[N, S]` of its images; returns the detector."""
        self.fitted.update(self._fit_statistics(np.asarray(statistics, np.float64)))
        self.calibration_scores = None
        return self

    def statistics(self, images, progress=None):
        """What the model says of each image: float64 `[N, S]`."""
        values, _ = self.timed_statistics(images, progress)
        return values

    def timed_statistics(self, images, progress=None):
        """(`statistics`, seconds for an image: the median batch, but for the first, which is traced)."""
        images = self._checked(images)
        self._check_prepared()
        if not len(images):
            return np.zeros([0, 1]), 0.0
        found, seconds = [], []
        with tqdm.tqdm(total=len(images), unit="image", desc=progress, disable=progress is None) as bar:
            for batch in data.evaluation_batches(images, self._batch_size):
                started = time.perf_counter()
                found.append(self._statistics_of_batch(batch))
                seconds.append((time.perf_counter() - started) / len(batch))
                bar.update(len(batch))
        return np.concatenate(found), float(np.median(seconds[1:] or seconds))

    def score(self, images, progress=None):
        """The score of each image: float32 `[N]`, higher = more out of distribution.

        A score that is no number (the model overflowed) counts as infinite.

        Args:
          images: uint8 `[N, H, W, C]`.
          progress: Label of a progress bar, or None for none.

        Raises:
          DetectorError: If `fit` must come first, or the images do not fit the model.
        """
        images = self._checked(images)
        self._check_fitted()
        if not len(images):
            return np.zeros([0], np.float32)
        return self.score_statistics(self.statistics(images, progress))

    def score_statistics(self, statistics):
        """The score from the statistics `[N, S]`: float32 `[N]`."""
        self._check_fitted()
        # In blocks: a kernel density compares every image with all those given to `fit`.
        starts = range(0, len(statistics), self._batch_size)
        blocks = [tf.constant(statistics[i : i + self._batch_size], tf.float64) for i in starts]
        return np.concatenate([self.graph_score_statistics(block).numpy() for block in blocks])

    def graph_score_statistics(self, statistics):
        """`score_statistics` in a graph."""
        score = self._formula(statistics, {k: tf.constant(v) for k, v in self.fitted.items()})
        score = tf.where(tf.math.is_nan(score), tf.constant(np.inf, score.dtype), score)
        return tf.cast(score, tf.float32)

    def graph_score(self, images):
        """`score` in a graph: uint8 `[B, H, W, C]` -> float32 `[B]`.

        Raises:
          DetectorError: If the detector is not `exportable`.
        """
        self.check_exportable()
        return self.graph_score_statistics(self.graph_statistics(images))

    def check_exportable(self):
        """Raises `DetectorError` where the score does not run inside a graph."""
        if not self.exportable:
            raise DetectorError(
                f"{self.name}: this score does not run inside a graph; it cannot be exported."
            )

    def graph_statistics(self, images):
        """The part of `statistics` that is TensorFlow's: uint8 `[B, H, W, C]` -> float64 `[B, S]`."""
        if not self.models and self._compiled is not None:
            return self._compiled(images)
        return tf.cast(self._graph_statistics(images), tf.float64)

    def score_map(self, images):
        """How much each pixel adds to the score: float32 `[N, H, W]`, in the unit of the score.

        Raises:
          DetectorError: If this score, or this model, has no such map.
        """
        self._check_not_restored("asked for maps")
        images = self._checked(images)
        self._check_fitted()
        batches = data.evaluation_batches(images, self._batch_size)
        return np.concatenate([self._map_of_batch(batch).numpy().astype(np.float32) for batch in batches])

    def calibrate(self, images, progress=None):
        """Keeps the scores of held-out in-distribution images for `p_value`; returns the detector."""
        return self.calibrate_scores(self.score(images, progress))

    def calibrate_scores(self, scores):
        """`calibrate`, from the scores `[n]` of its images."""
        self.calibration_scores = calibration.sorted_scores(scores)
        return self

    def p_value(self, images):
        """The conformal p-value of each image, float32 `[N]`: see `calibration.p_value`.

        Raises:
          DetectorError: If `calibrate` must come first.
        """
        return self.p_value_of_scores(self.score(images))

    def p_value_of_scores(self, scores):
        """The p-value of each score `[N]`."""
        if self.calibration_scores is None:
            raise DetectorError(f"{self.name}: call calibrate first, with held-out in-distribution images.")
        return calibration.p_value(tf.constant(scores, tf.float32), self.calibration_scores).numpy()

    def predict(self, images, alpha=0.05):
        """Whether each image is called out of distribution: bool `[N]`, p <= alpha.

        Of in-distribution images no more than a fraction `alpha` is, on average.
        """
        p_values = self.p_value(images)
        calibration.check_level(alpha, len(self.calibration_scores))
        return p_values <= alpha

    def save(self, path):
        """Writes the detector to a folder: see `saving.save`."""
        saving.save(self, path)

    def _prepare(self, images):
        """Fits what the statistics depend on."""

    def _graph_statistics(self, images):
        """What the model says: uint8 `[B, H, W, C]` -> `[B, S]`, in a graph."""
        return models.log_prob(self.models[0], images)[:, tf.newaxis]

    def _host_statistics(self, images):
        """Statistics that are not TensorFlow's: NumPy uint8 `[B, H, W, C]` -> `[B, S']`, or None."""

    def _fit_statistics(self, statistics):
        """What the formula needs, as a dict of arrays, from statistics `[N, S]`."""
        return {}

    def _formula(self, statistics, fitted):
        """Statistics float64 `[B, S]` and fitted tensors -> score `[B]`, in TensorFlow."""
        raise NotImplementedError(f"{type(self).__name__} has no formula.")

    def _map_of_batch(self, images):
        raise DetectorError(f"{self.name}: there is no map of pixels for this score and model.")

    def _needed(self):
        """Names of the fitted arrays without which there is no score."""
        return ()

    def _check_prepared(self):
        """Raises `DetectorError` where statistics cannot be computed before `fit`."""

    def _check_fitted(self):
        missing = [name for name in self._needed() if name not in self.fitted]
        if missing:
            raise DetectorError(f"{self.name}: call fit first, with in-distribution images.")

    def _check_not_restored(self, what):
        if self._has_statistics_alone:
            raise DetectorError(
                f"{self.name}: its model was stored as statistics alone, so it cannot be {what}; "
                f"load it with model=..."
            )

    def _checked(self, images):
        array = check_image_batch(images, self.image_shape, self.name, DetectorError)
        if self.image_shape is None and len(array):
            self.image_shape = tuple(array.shape[1:])
        return array

    def compiled_statistics(self):
        """`graph_statistics` as a `tf.function` of uint8 `[None, H, W, C]`, traced once for any batch.

        Raises:
          DetectorError: If the model cannot be traced, or no images told their shape yet.
        """
        if self._compiled is not None:
            return self._compiled
        if self.image_shape is None:
            raise DetectorError(f"{self.name}: the shape of the images is not known yet; call fit first.")
        signature = [tf.TensorSpec([None, *self.image_shape], tf.uint8)]

        def statistics(images):
            return parts.concatenated(self.graph_statistics, images, tf.float64, [None])

        function = tf.function(statistics, input_signature=signature, autograph=False)
        try:
            function.get_concrete_function()
        except DetectorError:
            raise
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            raise DetectorError(
                f"{self.name}: the model cannot be traced by TensorFlow ({type(error).__name__}: {reason}); "
                f"wrap what is not TensorFlow in tf.numpy_function."
            ) from error
        self._compiled = function
        return function

    def _statistics_of_batch(self, batch):
        values = [self.compiled_statistics()(batch).numpy()]
        on_host = self._host_statistics(batch.numpy())
        if on_host is not None:
            values.append(np.asarray(on_host, np.float64))
        return np.concatenate(values, axis=1)
