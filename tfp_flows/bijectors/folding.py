"""An `ActNorm` and the 1x1 convolution after it, folded into one matrix product with a bias.

z = W diag(s) x + W diag(s) shift,      s = exp(log_scale)
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flows.bijectors import _log_det, _templates, actnorm, conv1x1, steps
from tfp_flows.bijectors._one_pass import Pair


class Product(NamedTuple):
    """What a folded pair computes in one direction: `kernel @ x + bias` at each position.

    Attributes:
      kernel: `[C, C]`.
      bias: `[C]`.
      log_det: Scalar, the log-determinant of one position, nats.
    """

    kernel: tf.Tensor
    bias: tf.Tensor
    log_det: tf.Tensor


class FoldedPair(NamedTuple):
    """Two neighbours in a chain, and their product in one direction, once it has been made."""

    norm: actnorm.ActNorm
    conv: conv1x1.InvertibleConv1x1
    product: Product | None = None


class FoldedStep(steps.Step):
    """A folded pair in one direction. Without a product it makes its own, which can be differentiated."""

    def __init__(self, pair: FoldedPair, inverse: bool, event_ndims: int):
        self._pair = pair
        self._inverse = inverse
        self._event_ndims = event_ndims

    def apply(self, value: tf.Tensor) -> Pair:
        """`Step.apply`."""
        return self._multiply(value, self._pair.product or products([self._pair], self._inverse)[0])

    def undo(self, result: tf.Tensor) -> tf.Tensor:
        """`Step.undo`."""
        return self._multiply(result, products([self._pair], not self._inverse)[0])[0]

    def template(self) -> _templates.Template | None:
        """`Step.template`, once the product has been made."""
        product = self._pair.product
        if product is None:
            return None
        key = (
            FoldedStep,
            self._inverse,
            self._event_ndims,
            product.kernel.dtype,
            tuple(product.kernel.shape),
        )
        return _templates.Template(
            key,
            product,
            lambda tensors: _templates.replaced(
                self, {"_pair": self._pair._replace(product=Product(*tensors))}
            ),
        )

    def _multiply(self, value: tf.Tensor, product: Product) -> Pair:
        positions = _log_det.num_positions(value, self._event_ndims, 1)
        return conv1x1.apply_kernel(value, product.kernel, product.bias), positions * product.log_det


def folded(bijectors: Sequence[tfb.Bijector]) -> list[tfb.Bijector | FoldedPair]:
    """The bijectors in order, each `ActNorm` and a 1x1 convolution after it as a `FoldedPair`."""
    members: list[tfb.Bijector | FoldedPair] = []
    for member in bijectors:
        before: Any = members.pop() if members else None
        if _fit(before, member):
            members.append(FoldedPair(before, member))
        else:
            members += [member] if before is None else [before, member]
    return members


def with_products(
    members: Sequence[tfb.Bijector | FoldedPair], inverse: bool
) -> list[tfb.Bijector | FoldedPair]:
    """The members, the products of all folded pairs of one width made at once."""
    members = list(members)
    places = [place for place, member in enumerate(members) if isinstance(member, FoldedPair)]
    for width in sorted({members[place].conv.num_channels for place in places}):
        group = [place for place in places if members[place].conv.num_channels == width]
        made = products([members[place] for place in group], inverse)
        for place, product in zip(group, made, strict=True):
            members[place] = members[place]._replace(product=product)
    return members


def products(pairs: Sequence[FoldedPair], inverse: bool) -> list[Product]:
    """The products of folded pairs of one width, in one direction."""
    convs = [pair.conv for pair in pairs]
    log_scale = tf.stack([pair.norm.log_scale for pair in pairs])
    shift = tf.stack([pair.norm.shift for pair in pairs])
    log_det = tf.reduce_sum(log_scale + tf.stack([conv.log_diagonal for conv in convs]), axis=1)
    if inverse:
        kernel = conv1x1.kernels(convs) * tf.exp(log_scale)[:, tf.newaxis]
        bias = tf.reduce_sum(kernel * shift[:, tf.newaxis], axis=2)
    else:
        kernel = conv1x1.inverse_kernels(convs) * tf.exp(-log_scale)[:, :, tf.newaxis]
        bias, log_det = -shift, -log_det
    unstacked = (tf.unstack(values) for values in (kernel, bias, log_det))
    return [Product(*values) for values in zip(*unstacked, strict=True)]


def _fit(first: tfb.Bijector | FoldedPair, second: tfb.Bijector) -> bool:
    # Of these very classes: a subclass may compute something else. One that validates stands alone.
    return (
        type(first) is actnorm.ActNorm
        and type(second) is conv1x1.InvertibleConv1x1
        and first.num_channels == second.num_channels
        and not first.validate_args
        and not second.validate_args
    )
