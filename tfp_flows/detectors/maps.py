"""Heat maps of scores: what the models say of each pixel, and arithmetic on it."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfp_flows.detectors import surprise
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.formula import Formula
from tfp_flows.detectors.hooks import Hooks
from tfp_flows.detectors.statistics import Graph, Statistics
from tfp_flows.pages import heat

BATCH_SIZE = 64
ALONE = "its model was stored as statistics alone, without what maps need; load it with model=..."
SCALE = "map_scale"  # name of a fitted array
LEAST_IMAGES, MOST_BYTES = 16, 2**26  # that are kept for `complete`


class Maps:
    """The maps of images: `maps(images)` is float32 `[N, H, W]`.

        map(x) = _map_formula(_graph_shares(x), what was fitted)

    The shares `[B, H, W, T]` are what the models say of pixels, as statistics are of images.
    """

    def __init__(self, hooks: Hooks, statistics: Statistics, formula: Formula, stored: Graph | None = None):
        """Computes nothing yet.

        Args:
          hooks: Whose `_graph_shares` and `_map_formula` are meant.
          statistics: Of the same detector: it knows the shape of images.
          formula: Of the same detector: it has the fitted arrays.
          stored: The graph of the shares, where it is all that is known of the models.
        """
        self._hooks = hooks
        self._statistics = statistics
        self._formula = formula
        self._stored = stored
        self._compiled = stored
        self._waiting: np.ndarray | None = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """The map of each image uint8 `[N, H, W, C]`: float32 `[N, H, W]`.

        Raises:
          DetectorError: If there is none.
        """
        self.check()
        found = [self.of_shares(tf.constant(shares)).numpy() for shares in self._batches(images)]
        empty = np.zeros([0, *images.shape[1:3]], np.float32)
        return np.concatenate([empty, *found])

    def shares(self, images: np.ndarray) -> np.ndarray:
        """What the models say of each pixel: `[N, H, W, T]`."""
        return np.concatenate(list(self._batches(images)))

    def remember(self, images: np.ndarray) -> None:
        """Keeps a few of the images that `fit` saw, for `complete`, which may take a while."""
        most = max(LEAST_IMAGES, min(surprise.MOST_IMAGES, MOST_BYTES // max(images[:1].size, 1)))
        self._waiting = images[:: -(-len(images) // most)].copy()

    def complete(self) -> None:
        """Finds what maps need in the images that `fit` saw; does nothing where there are no maps."""
        if self._waiting is None or not self.shared():
            return
        shares, self._waiting = self.shares(self._waiting), None
        self._formula.fitted.update(self._hooks._fit_map(shares))
        scale = heat.scale_of(self.of_shares(tf.constant(shares)).numpy())
        self._formula.fitted[SCALE] = np.array(scale)

    @property
    def scale(self) -> heat.Scale | None:
        """The scale of pictures of these maps, by those of the images that `fit` saw; None if not known."""
        self.complete()
        found = self._formula.fitted.get(SCALE)
        return None if found is None else heat.Scale(*map(float, found))

    def shared(self) -> bool:
        """Whether the models say what a map is made of."""
        return self._stored is not None or not (self._statistics.alone or self._why_not())

    def check(self) -> None:
        """Raises `DetectorError`, in one line, where there is no map of this score and model."""
        reason = None if self._stored is not None else self._why_not()
        if self._stored is None and self._statistics.alone and not self._statistics.are_vectors:
            raise DetectorError(f"{self._hooks.name}: there is no map of pixels: {ALONE}.")
        if reason:
            raise DetectorError(f"{self._hooks.name}: there is no map of pixels for {reason}.")
        self._formula.check_fitted()
        self.complete()
        if any(name not in self._formula.fitted for name in self._hooks._map_needs()):
            raise DetectorError(
                f"{self._hooks.name}: there is no map of pixels: the detector was fitted before there were "
                f"maps, or to statistics alone; fit it again, to images (tfp_flows.detect)."
            )

    def _why_not(self) -> str | None:
        """What there is no map of pixels for; None where there is one."""
        return "vectors, which have no pixels" if self._statistics.are_vectors else self._hooks._no_map()

    def why_none(self) -> str:
        """The message of `check`; "" where it passes."""
        try:
            self.check()
        except DetectorError as error:
            return str(error)
        return ""

    def of_shares(self, shares: tf.Tensor) -> tf.Tensor:
        """Shares `[B, H, W, T]` -> map float32 `[B, H, W]`, in a graph or not."""
        found = self._hooks._map_formula(tf.cast(shares, tf.float64), self._formula.constants())
        return tf.cast(found, tf.float32)

    def in_graph(self, images: tf.Tensor) -> tf.Tensor:
        """uint8 `[B, H, W, C]` -> map float32 `[B, H, W]`, inside a graph."""
        return self.of_shares((self._stored or self._hooks._graph_shares)(images))

    def compiled(self) -> tf.types.experimental.PolymorphicFunction:
        """The shares as a `tf.function` of uint8 `[None, H, W, C]`, traced once for any batch."""
        if self._compiled is None:
            self._hooks._before_tracing()
            signature = [self._statistics.spec()]
            function = tf.function(self._hooks._graph_shares, input_signature=signature, autograph=False)
            function.get_concrete_function()
            self._compiled = function
        return self._compiled

    def forget_graph(self) -> None:
        """Has the graph traced anew when it is next needed: what it is made from has changed."""
        self._compiled = self._stored

    def _batches(self, images: np.ndarray) -> Iterator[np.ndarray]:
        compiled = self.compiled()
        for start in range(0, len(images), BATCH_SIZE):
            yield compiled(tf.constant(images[start : start + BATCH_SIZE])).numpy()
