"""What detectors need of a density model: `log_prob` of images, whoever made it."""

import tensorflow as tf

from tfp_flows.detectors.errors import DetectorError


def log_prob(model, images):
    """log p of images uint8 `[B, H, W, C]` under anything with a `log_prob`: `[B]`, nats.

    The images reach the model as its own dtype holding integers 0..255 (a `tfd.Distribution`'s), as uint8
    (a function restored from a SavedModel that takes them), or else as float32.
    """
    return model.log_prob(as_input(model, images))


def as_input(model, images):
    """Images uint8 in the type that the model takes: see `log_prob`."""
    return tf.cast(images, _input_dtype(model))


def check_model(model, owner):
    """Raises `DetectorError` unless `model` has a `log_prob`."""
    if not callable(getattr(model, "log_prob", None)):
        raise DetectorError(f"{owner}: a model needs a method log_prob, {type(model).__name__} has none.")


def image_shape_of(model):
    """The shape (H, W, C) of a model's images, or None where it does not say."""
    shape = getattr(model, "event_shape", None)
    if shape is None or not tf.TensorShape(shape).is_fully_defined():
        return None
    return tuple(tf.TensorShape(shape).as_list())


def is_flow(model):
    """Whether it is a flow over dequantised images: `.flow` is a `tfd.TransformedDistribution`."""
    flow = getattr(model, "flow", None)
    return hasattr(flow, "bijector") and hasattr(flow, "distribution")


def is_latent_variable_model(model):
    """Whether it has an encoder, a decoder and a prior, as a VAE."""
    return all(hasattr(model, name) for name in ("encode", "decode", "prior"))


def need_flow(model, owner):
    """Raises `DetectorError` unless `model` is a flow over dequantised images."""
    if not is_flow(model):
        raise DetectorError(
            f"{owner}: needs a flow over dequantised images (tfp_flows.Dequantized), "
            f"{type(model).__name__} has no change of variables."
        )


def _input_dtype(model):
    restored = getattr(model.log_prob, "concrete_functions", None)
    if restored:
        arguments, _ = restored[0].structured_input_signature
        return arguments[0].dtype
    dtype = getattr(model, "dtype", None)
    return dtype if isinstance(dtype, tf.DType) and dtype.is_floating else tf.float32


def pixel_log_probs(model, images, owner):
    """log p of each pixel given those before it, of images uint8 `[B, H, W, C]`: `[B, H, W]`, nats.

    Raises:
      DetectorError: If the model has no such thing.
    """
    if not hasattr(model, "pixel_log_probs"):
        raise DetectorError(
            f"{owner}: there is no map of pixels for {type(model).__name__}, which has no pixel_log_probs."
        )
    return model.pixel_log_probs(as_input(model, images))
