"""What detectors need of a density model: `log_prob` of images, whoever made it."""

import contextlib
from collections.abc import Sequence
from typing import TypeGuard

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows import bijectors
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.distributions import draw_of, protocols
from tfp_flows.distributions.protocols import DensityModel, FlowModel, LatentVariableModel


def log_prob(model: DensityModel, images: tf.Tensor) -> tf.Tensor:
    """log p of images uint8 `[B, H, W, C]` under anything with a `log_prob`: `[B]`, nats.

    The images reach the model as its own dtype holding integers 0..255 (a `tfd.Distribution`'s), as uint8
    (a function restored from a SavedModel that takes them), or else as float32.
    """
    return model.log_prob(as_input(model, images))


def steps_traced_once(density_models: Sequence[DensityModel]) -> contextlib.AbstractContextManager[None]:
    """Has the steps of models of runs traced once, in what is run here and stored nowhere.

    The statistics of any other model are stored as a graph, for which see `bijectors.steps_traced_once`.
    """
    of_runs = all(getattr(model, "run_reference", None) is not None for model in density_models)
    return bijectors.steps_traced_once() if of_runs else contextlib.nullcontext()


def as_input(model: DensityModel, images: tf.Tensor) -> tf.Tensor:
    """Images uint8 in the type that the model takes: see `log_prob`."""
    return tf.cast(images, _input_dtype(model))


def common_shape(density_models: Sequence[DensityModel], owner: str) -> tuple[int, ...] | None:
    """The shape (H, W, C) of the images of all models, (D,) of vectors, or None where none of them says.

    Raises:
      DetectorError: If they differ.
    """
    shapes = {shape for shape in map(image_shape_of, density_models) if shape}
    if len(shapes) > 1:
        raise DetectorError(f"{owner}: the models' images differ in shape: {sorted(shapes)}.")
    return next(iter(shapes), None)


def need_density(model: object, owner: str) -> DensityModel:
    """`model`, if it has a `log_prob`.

    Raises:
      DetectorError: If it has none.
    """
    if not isinstance(model, DensityModel):
        raise DetectorError(f"{owner}: a model needs a method log_prob, {type(model).__name__} has none.")
    return model


def vector_dtype(density_models: Sequence[DensityModel]) -> tf.DType:
    """In which models are given vectors: the widest of their own, float32 where none of them says."""
    return tf.float64 if tf.float64 in map(_input_dtype, density_models) else tf.float32


def image_shape_of(model: object) -> tuple[int, ...] | None:
    """The shape (H, W, C) of a model's images, (D,) of its vectors, or None where it does not say."""
    shape = getattr(model, "event_shape", None)
    if shape is None or not tf.TensorShape(shape).is_fully_defined():
        return None
    return tuple(tf.TensorShape(shape).as_list())


def is_vector_flow(model: object) -> TypeGuard[tfd.TransformedDistribution]:
    """Whether `model` is a change of variables over vectors, as a `tfd.TransformedDistribution` is."""
    return isinstance(model, protocols.ChangeOfVariables) and len(model.event_shape) == 1


def need_any_flow(model: object, owner: str) -> None:
    """Raises `DetectorError` unless it is a flow, over dequantised images or over vectors."""
    if not is_vector_flow(model):
        need_flow(model, owner)


def flow_and_input(model: DensityModel, events: tf.Tensor, owner: str) -> tuple[tfd.Distribution, tf.Tensor]:
    """The continuous density of a flow, and what it is one of: dequantised images, or vectors as they are.

    Raises:
      DetectorError: If the model is no flow.
    """
    if is_vector_flow(model):
        return model, as_input(model, events)
    of_images = need_flow(model, owner)
    return of_images.flow, draw_of(of_images, events, of_images.evaluation_noise()[0]).y


def need_flow(model: object, owner: str) -> FlowModel:
    """`model`, if it is a flow over dequantised images.

    Raises:
      DetectorError: If it is none.
    """
    if not protocols.is_flow(model):
        raise DetectorError(
            f"{owner}: needs a flow over dequantised images (tfp_flows.Dequantized), "
            f"{type(model).__name__} has no change of variables."
        )
    return model


def need_latent_variables(model: object, owner: str) -> LatentVariableModel:
    """`model`, if it has an encoder, a decoder and a prior.

    Raises:
      DetectorError: If it lacks one.
    """
    if not isinstance(model, LatentVariableModel):
        raise DetectorError(
            f"{owner}: needs a VAE (encode, decode and prior), {type(model).__name__} is none."
        )
    return model


def dtype_of_graph(function: object) -> tf.DType | None:
    """The dtype of the first argument of a function restored from a SavedModel; None of any other."""
    restored = getattr(function, "concrete_functions", None)
    if not restored:
        return None
    arguments, _ = restored[0].structured_input_signature
    return arguments[0].dtype


def _input_dtype(model: DensityModel) -> tf.DType:
    restored = dtype_of_graph(model.log_prob)
    if restored is not None:
        return restored
    dtype = getattr(model, "dtype", None)
    return dtype if isinstance(dtype, tf.DType) and dtype.is_floating else tf.float32


def log_prob_shares(model: DensityModel, images: tf.Tensor) -> tf.Tensor:
    """The shares of each pixel in log p of images uint8 `[B, H, W, C]`: `[B, H, W, T]`, nats.

    Those of a model's terms where it tells them apart, as a Glow does its levels; else T = 1. They sum to
    `log_prob`. There must be some: see `why_no_shares`.
    """
    images = as_input(model, images)
    if isinstance(model, protocols.SharedModel):
        return model.log_prob_shares(images)
    if isinstance(model, protocols.MappedModel):
        return model.log_prob_map(images)[..., tf.newaxis]
    if isinstance(model, protocols.PixelModel):
        return model.pixel_log_probs(images)[..., tf.newaxis]
    raise DetectorError(why_no_shares([model]) or "")


def log_prob_map(model: DensityModel, images: tf.Tensor) -> tf.Tensor:
    """The share of each pixel in log p: `[B, H, W]`, nats; see `log_prob_shares`."""
    return tf.reduce_sum(log_prob_shares(model, images), axis=-1)


def why_no_shares(density_models: Sequence[DensityModel]) -> str | None:
    """Which of these models cannot say what pixels log p comes from, and why; None where all can."""
    known = (protocols.SharedModel, protocols.MappedModel, protocols.PixelModel)
    for model in density_models:
        if not isinstance(model, known):
            return f"{type(model).__name__}, which has no log_prob_map (`[B, H, W]`, to sum to log_prob)"
        flow = getattr(model, "flow", None)
        if flow is not None and not protocols.is_flow(model):
            return f"{type(model).__name__}, whose flow is no change of variables"
    return None
