"""Scoring as a step of a pipeline of Apache Beam (`pip install "tfp-flows[beam]"`).

found = images | tfp_flows.scoring.beam.ScoreImages("exported", alpha=0.01)
found.scores | ...  # table.ScoredImage: key, log_prob, bits_per_dim, score, p_value, verdict
found.errors | ...  # table.FailedImage: key, error
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam import typehints
from apache_beam.metrics import Metrics
from apache_beam.utils import shared

from tfp_flows.checks import sizes
from tfp_flows.data import Preparation, streams
from tfp_flows.detectors import calibration
from tfp_flows.scoring import table
from tfp_flows.serving import exported_model

NAMESPACE = "tfp_flows"  # of the counters "scored" and "failed"
_ERRORS = "errors"

# With a schema: fields have names in any later step, in any of Beam's languages.
beam.coders.registry.register_coder(table.ScoredImage, beam.coders.RowCoder)
beam.coders.registry.register_coder(table.FailedImage, beam.coders.RowCoder)


class Scores(NamedTuple):
    """What `ScoreImages` returns.

    Attributes:
      scores: PCollection of `scoring.ScoredImage`, one for each image that could be read.
      errors: PCollection of `scoring.FailedImage`, one for each other.
    """

    scores: beam.PCollection
    errors: beam.PCollection


class ScoreImages(beam.PTransform):
    """PCollection of images -> `Scores`: elements in = scores + errors.

    An element is a pair (key, image) or a `data.streams.Item`; the image is uint8 `[H, W, C]`, or the bytes
    of a picture, which is prepared as those were that the model was trained on. One that cannot be decoded,
    or has another shape or dtype than the model wants, goes to the errors; so does an Item without an image,
    with its own reason.

    An image's numbers do not depend on which others are scored beside it: see `ExportedModel`. Each
    worker process loads the model once, and all of its threads share it. The counters "scored" and "failed"
    of the namespace "tfp_flows" count along.
    """

    def __init__(
        self, model: str | os.PathLike, alpha: float = 0.05, batch_size: int = 128, trust: bool = False
    ) -> None:
        """Makes the transform; the model's shape is read at once, the model itself by the workers.

        Warns where the export's calibration images are too few for a p-value of `alpha`.

        Args:
          model: Folder of an exported model; workers read it under the same path.
          alpha: p-value at or below which the verdict is "out".
          batch_size: Images that the model runs on at once.
          trust: Whether to load whatever graph it is; see `ExportedModel`.

        Raises:
          ExportedModelError: If the folder holds no exported model.
          ScoringError: If alpha or batch_size makes no sense.
        """
        super().__init__()
        if not 0 < alpha < 1:
            raise table.ScoringError(f"`alpha` must be in (0, 1), got {alpha}.")
        self._image_shape = exported_model.image_shape(model)
        self._preparation = exported_model.preparation(model) or Preparation((), self._image_shape)
        sizes.check_batch_size(batch_size, self._image_shape, error=table.ScoringError)
        count = exported_model.num_calibration(model)
        if count is not None:
            calibration.check_level(alpha, count)
        self._model = str(model)
        self._alpha = alpha
        self._batch_size = batch_size
        self._trust = trust

    def expand(self, pcoll: beam.PCollection) -> Scores:
        """See the class."""
        read = pcoll | "Read" >> beam.ParDo(_Read(self._preparation)).with_outputs(_ERRORS, main="images")
        scores = (
            read.images
            | "Batch" >> beam.BatchElements(self._batch_size, self._batch_size)
            | "Score"
            >> beam.ParDo(_Score(self._model, self._alpha, self._batch_size, self._trust)).with_output_types(
                table.ScoredImage
            )
        )
        errors = read[_ERRORS] | "Errors" >> beam.Map(lambda e: e).with_output_types(table.FailedImage)
        return Scores(scores, errors)


class _Read(beam.DoFn):
    """Elements -> `Item`s with an image of the right shape; the others to the errors."""

    def __init__(self, preparation: Preparation) -> None:
        self._preparation = preparation
        self._failed = Metrics.counter(NAMESPACE, "failed")

    @typehints.decorators.no_annotations  # for readers: to Beam an Item is no tuple
    def process(self, element: tuple) -> Iterator[streams.Item | beam.pvalue.TaggedOutput]:
        item = streams.with_shape(_item(element, self._preparation), self._preparation.image_shape)
        if item.image is None:
            self._failed.inc()
            yield beam.pvalue.TaggedOutput(_ERRORS, table.failed_image(item))
        else:
            yield item


def _item(element: tuple, preparation: Preparation) -> streams.Item:
    if not (isinstance(element, tuple) and len(element) in (2, 3, 4) and isinstance(element[0], str)):
        raise table.ScoringError(f"ScoreImages takes pairs (key, image), got {type(element).__name__}.")
    item = streams.Item(*element)
    if isinstance(item.image, bytes):
        return streams.finished(streams.decode(item.key, item.image, preparation.operations), preparation)
    return item._replace(image=None if item.image is None else np.asarray(item.image))


class _Score(beam.DoFn):
    """Lists of `Item`s -> `scoring.ScoredImage`s."""

    def __init__(self, model: str, alpha: float, batch_size: int, trust: bool) -> None:
        self._model = model
        self._alpha = alpha
        self._batch_size = batch_size
        self._trust = trust
        self._shared = shared.Shared()
        self._scored = Metrics.counter(NAMESPACE, "scored")

    def setup(self) -> None:
        self._scorer = self._shared.acquire(
            lambda: exported_model.ExportedModel(self._model, self._batch_size, self._trust)
        )

    def process(self, items: list[streams.Item]) -> Iterator[table.ScoredImage]:
        yield from table.score_items(self._scorer, items, self._alpha)
        self._scored.inc(len(items))
