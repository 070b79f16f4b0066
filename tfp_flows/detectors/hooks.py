"""What a kind of detector is made of: what its class declares, and the methods that it gives."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import tensorflow as tf

from tfp_flows.detectors import models
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.distributions.protocols import DensityModel


class Hooks:
    """What a subclass of `Detector` overrides. The least is a `name` and `_formula`.

        score(x) = _formula(_graph_statistics(x) and _host_statistics(x), what was fitted)

    Attributes:
      name: As in files and flags.
      takes_vectors: Whether it judges vectors `[D]` too, of a model of such; False where the score has a
        meaning for images alone.
      needs_model: Whether it looks at density models; one that does not takes the shape of images.
      fit_split: The split of a run's data that `fitting.fit_and_calibrate` fits it to; "train" where no
        model is looked at, which would know these images.
      most_fit_images: Of a fixed random sample that it takes of this split, where nobody says how many; None
        for all.
      most_training_images: How many images that the models were trained on it takes besides, for what it
        asks of images without a model, if they are more than those that it is fitted to; 0 for none.
      prepares: Whether the statistics depend on what `fit` saw: then there is `_prepare`.
      log_prob_first: Whether the first statistic is log p(x) under the first model, in nats.
      cost: Of the statistics of an image: "fast" is a pass or a few through each model, "slow" a gradient or
        an optimisation, "jacobian" a Jacobian.
      statistics_name: What the statistics are called, where kinds of detectors of the same models share
        them, as "log_prob"; None where they are this kind's own.
      settings_of_statistics: Names of the settings that the statistics depend on; None for all of them.
      finite_statistics: Whether `fit` refuses statistics that are not finite. False for a score that fits
        nothing to them: there no mean can be spoilt.
      may_be_infinite: Names of the fitted arrays in which infinity has a meaning.
      unseen_by_formulas: Names of the fitted arrays that statistics are made of, and that formulas need not
        hold.
      for_xla: A setting, as NAME=VALUE, with which XLA can compile the score where it else cannot; or "".
      settings: Constructor arguments other than models, JSON-ready.
      models: The density models that it looks at.
    """

    name: ClassVar[str] = "detector"
    takes_vectors: ClassVar[bool] = True
    needs_model: ClassVar[bool] = True
    fit_split: ClassVar[Literal["train", "validation"]] = "validation"
    most_fit_images: ClassVar[int | None] = None
    most_training_images: ClassVar[int] = 0
    prepares: ClassVar[bool] = False
    log_prob_first: ClassVar[bool] = True
    cost: ClassVar[Literal["fast", "slow", "jacobian"]] = "fast"
    statistics_name: ClassVar[str | None] = None
    settings_of_statistics: ClassVar[tuple[str, ...] | None] = None
    finite_statistics: ClassVar[bool] = True
    may_be_infinite: ClassVar[tuple[str, ...]] = ()
    unseen_by_formulas: ClassVar[tuple[str, ...]] = ()
    for_xla: ClassVar[str] = ""
    settings: dict
    models: list[DensityModel]

    @property
    def exportable(self) -> bool:
        """Whether the whole score runs inside a graph, and so in an exported model."""
        return False

    @classmethod
    def identity_of_statistics(cls, settings: Mapping) -> tuple[str, dict]:
        """(name, settings) of the statistics: the same for detectors that ask the same of their models."""
        names = cls.settings_of_statistics
        own = {name: value for name, value in settings.items() if names is None or name in names}
        return cls.statistics_name or cls.name, own

    def _prepare(self, images: np.ndarray) -> None:
        """Fits what the statistics depend on, to uint8 `[N, H, W, C]`; writes into `self.fitted`."""

    def _see_training_images(self, images: np.ndarray | None) -> None:
        """Notes what `_fit_statistics` needs of images that the models were trained on, if there are any."""

    def _before_tracing(self) -> None:
        """Makes what the graph of the statistics uses and must not make itself, as variables."""

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        """What the model says: uint8 `[B, H, W, C]` -> `[B, S]`, in a graph."""
        return models.log_prob(self.models[0], images)[:, tf.newaxis]

    def _host_statistics(self, images: np.ndarray) -> np.ndarray | None:
        """Statistics that are not TensorFlow's: NumPy uint8 `[B, H, W, C]` -> `[B, S']`, or None."""
        return None

    def _fit_statistics(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        """What the formula needs, as a dict of arrays, from statistics float64 `[N, S]`."""
        return {}

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        """Statistics float64 `[B, S]` and fitted tensors -> score `[B]`, in TensorFlow."""
        raise NotImplementedError(f"{type(self).__name__} has no formula.")

    def _no_map(self) -> str | None:
        """What there is no map of pixels for, this score or a model of it; None where there is one."""
        return "this score"

    def _graph_shares(self, images: tf.Tensor) -> tf.Tensor:
        """What the models say of pixels: uint8 `[B, H, W, C]` -> `[B, H, W, T]`, in a graph."""
        return models.log_prob_shares(self.models[0], images)

    def _map_formula(self, shares: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        """Shares float64 `[B, H, W, T]` and fitted tensors -> map `[B, H, W]`, in TensorFlow."""
        raise DetectorError(f"{self.name}: there is no map of pixels.")

    def _fit_map(self, shares: np.ndarray) -> dict[str, np.ndarray]:
        """What `_map_formula` needs, from the shares `[N, H, W, T]` of in-distribution images."""
        return {}

    def _map_needs(self) -> tuple[str, ...]:
        """Names of the arrays of `_fit_map`, without which there is no map."""
        return ()

    def _needed(self) -> tuple[str, ...]:
        """Names of the fitted arrays without which there is no score."""
        return ()

    def _check_prepared(self) -> None:
        """Raises `DetectorError` where statistics cannot be computed before `fit`."""
