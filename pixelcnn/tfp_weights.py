"""Weights from a `tfd.PixelCNN` to ours and back: the same density, evaluated and sampled faster.

model = from_tfp(trained)      # masks applied, uint8 in, exact fast samples
theirs = to_tfp(model)         # a tfd.PixelCNN, masks applied and marked as initialised
"""

import re

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from tensorflow_probability import distributions as tfd

from pixelcnn.model import PixelCNN
from tfp_flows.checks.errors import UserError

WeightNorm = tfp.layers.weight_norm.WeightNorm

KINDS = {
    "Conv2D": tf_keras.layers.Conv2D,
    "Conv2DTranspose": tf_keras.layers.Conv2DTranspose,
    "Dense": tf_keras.layers.Dense,
}


def from_tfp(distribution: tfd.PixelCNN) -> PixelCNN:
    """A `PixelCNN` with the weights of a `tfd.PixelCNN`, which is left as it is.

    Args:
      distribution: `tfd.PixelCNN` with `receptive_field_dims=(3, 3)`, `resnet_activation="concat_elu"` and
        `low=0`; where it uses weight normalisation, already initialised.

    Returns:
      `PixelCNN`; its `log_prob` is that of `distribution` once its masks are applied.

    Raises:
      ValueError: If it is none of these, with the argument that differs.
    """
    settings = distribution.parameters
    wanted = {"receptive_field_dims": (3, 3), "resnet_activation": "concat_elu", "low": 0}
    for argument, value in wanted.items():
        if settings[argument] != value:
            raise UserError(f"from_tfp: `{argument}` must be {value!r}, got {settings[argument]!r}.")
    condition = settings["conditional_shape"]
    model = PixelCNN(
        tuple(distribution.event_shape),
        condition_size=0 if condition is None else int(np.prod(condition)),
        num_resnet=settings["num_resnet"],
        num_hierarchies=settings["num_hierarchies"],
        num_filters=settings["num_filters"],
        num_logistic_mix=settings["num_logistic_mix"],
        dropout_p=settings["dropout_p"],
        high=int(settings["high"]),
        dtype=distribution.dtype,
    )
    for ours, theirs in _matched(model.network, distribution.network):
        if isinstance(theirs, _Projection):
            ours.block.projection.kernel.assign(theirs.dense.kernel)
            ours.block.conv_out.bias.assign_add(theirs.dense.bias)
        else:
            _take_over(ours, theirs)
    return model


def to_tfp(model: PixelCNN) -> tfd.PixelCNN:
    """A `tfd.PixelCNN` with the weights of a `PixelCNN`: the reverse of `from_tfp`."""
    settings = model.parameters
    distribution = tfd.PixelCNN(
        image_shape=tuple(model.event_shape),
        conditional_shape=(model.condition_size,) if model.condition_size else None,
        num_resnet=settings["num_resnet"],
        num_hierarchies=settings["num_hierarchies"],
        num_filters=settings["num_filters"],
        num_logistic_mix=settings["num_logistic_mix"],
        dropout_p=settings["dropout_p"],
        high=settings["high"],
        dtype=model.dtype,
    )
    for ours, theirs in _matched(model.network, distribution.network):
        if isinstance(theirs, _Projection):
            theirs.dense.kernel.assign(ours.block.projection.kernel)
            theirs.dense.bias.assign(tf.zeros_like(theirs.dense.bias))
        else:
            v = _rows_of_tfp(ours.layer.v, ours.split)
            theirs.v.assign(tf.pad(v, [[0, b - a] for a, b in zip(v.shape, theirs.v.shape, strict=True)]))
            theirs.g.assign(ours.layer.g)
            theirs.layer.bias.assign(ours.layer.bias)
            theirs.initialized.assign(True)
    return distribution


class _Projection:
    """TFP's layer for the condition, which is not weight-normalised."""

    def __init__(self, dense):
        self.dense = dense


class _Ours:
    """One of our layers; `split`: whether its input is that of two stacks, activated apart."""

    def __init__(self, layer=None, block=None, split=False):
        self.layer = layer
        self.block = block
        self.split = split


def _take_over(ours, theirs):
    wrapped = isinstance(theirs, WeightNorm)
    if wrapped and not bool(theirs.initialized):
        raise UserError(
            "from_tfp: this tfd.PixelCNN is not initialised yet; call its log_prob with images once."
        )
    inner = theirs.layer if wrapped else theirs
    layer = ours.layer
    v = theirs.v if wrapped else inner.kernel
    v = v[: layer.v.shape[0], : layer.v.shape[1]] if v.shape.rank == 4 else _rows_of_ours(v, ours.split)
    layer.v.assign(v)
    layer.g.assign(theirs.g if wrapped else tf.sqrt(tf.reduce_sum(v**2, axis=layer.norm_axes)))
    layer.bias.assign(inner.bias)


def _rows_of_ours(v, split):
    """TFP activates two stacks side by side, [v, s, -v, -s]; here each by itself, [v, -v, s, -s]."""
    return (
        tf.gather(tf.reshape(v, [4, -1, v.shape[-1]]), [0, 2, 1, 3]).numpy().reshape(v.shape) if split else v
    )


def _rows_of_tfp(v, split):
    return _rows_of_ours(tf.convert_to_tensor(v), split)  # the permutation is its own inverse


def _matched(network, theirs):
    """Pairs of layers, in the order in which TFP makes its own; a queue for each kind."""
    queues = _queues(theirs)
    for name in ("vertical_init", "horizontal_up", "horizontal_left"):
        yield _Ours(getattr(network, name)), next(queues["Conv2D"])
    for i, blocks in enumerate(network.down):
        for pair in blocks:
            yield from _matched_block(pair.vertical, queues, split=False)
            yield from _matched_block(pair.horizontal, queues, split=False)
        if i < len(network.contract):
            for layer in (network.contract[i].vertical, network.contract[i].horizontal):
                yield _Ours(layer), next(queues["Conv2D"])
    for i, blocks in enumerate(network.up):
        for pair in blocks:
            yield from _matched_block(pair.vertical, queues, split=False)
            yield from _matched_block(pair.horizontal, queues, split=True)
        if i < len(network.expand):
            for layer in (network.expand[i].vertical, network.expand[i].horizontal):
                yield _Ours(layer), next(queues["Conv2DTranspose"])
    yield _Ours(network.output), next(queues["Dense"])


def _matched_block(block, queues, split):
    yield _Ours(block.conv_in), next(queues["Conv2D"])
    if block.skip is not None:
        yield _Ours(block.skip, split=split), next(queues["Dense"])
    yield _Ours(block.conv_out), next(queues["Conv2D"])
    if block.projection is not None:
        yield _Ours(block=block), _Projection(next(queues["projection"]))


def _queues(network):
    """Iterators over TFP's layers by kind, in the order of their making, which their names count."""
    wrappers = [m for m in network.submodules if isinstance(m, WeightNorm)]
    wrapped = {id(w.layer) for w in wrappers}
    plain = [m for m in network.submodules if type(m) in KINDS.values() and id(m) not in wrapped]
    layers = sorted(wrappers or plain, key=_number)
    queues = {
        name: iter([m for m in layers if type(getattr(m, "layer", m)) is kind])
        for name, kind in KINDS.items()
    }
    queues["projection"] = iter(sorted(plain, key=_number)) if wrappers else queues["Dense"]
    return queues


def _number(layer):
    """The 3 of `dense_3`; the first has none."""
    found = re.search(r"_(\d+)$", layer.name)
    return int(found[1]) if found else 0
