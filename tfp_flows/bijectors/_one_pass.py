"""The base class of this toolkit's bijectors: a value and its log-determinant in one pass.

A coupling layer knows its log-determinant the moment it has computed its value, but TFP asks for the
two separately, and would evaluate the coupling network once for each. TFP's own answer, used inside
`tfb.FFJORD`, is a bijector cache that stores what a single augmented call returns. That class is not
public: this module is the only one of the project that imports a private module of TFP.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.internal import cache_util

from tfp_flows.checks.errors import UserError

tfb = tfp.bijectors


class _FreshCache(cache_util.BijectorCacheWithGreedyAttrs):
    """Answers for a value that this bijector computed, and computes anew for any other.

    `forward(z)` of a z that `inverse(x)` returned is x, and their log-determinant is known: that is
    what makes one pass do. But TFP's own cache also answers a second `inverse(x)`, and a second
    log-determinant at x, with the first result, although a variable may have been assigned, or a
    gradient tape begun, in the meantime.
    """

    def _lookup(self, input, forward_name, inverse_name, **kwargs):
        edge = self._get_or_create_edge(input, forward_name, kwargs)
        if edge.output_ref and not _was_computed(edge):
            edge.input_ref.cancel()
            del self.storage[edge.input_ref]
        return super()._lookup(input, forward_name, inverse_name, **kwargs)

    def _attributes(self, input, fn_name, **kwargs):
        edge = self._get_or_create_edge(input, fn_name, kwargs)
        return edge.attributes if _was_computed(edge) else {}


def _was_computed(edge):
    # TFP keeps, with each value it returned, a reference to the argument it came from.
    return edge.dependencies is not None


class OnePassBijector(tfb.Bijector):
    """A bijector whose subclasses return each value together with its log-determinant.

        inverse:  x -> (z, log|det dz/dx|)        image -> latent
        forward:  z -> (x, log|det dx/dz|)        latent -> image

    A subclass implements `_inverse_with_log_det(x, **kwargs)` and
    `_forward_with_log_det(z, **kwargs)`. The log-determinants are those of an event of the bijector's
    own minimal rank: shape `[...]`, or `[]` where they do not depend on the input. `log_prob` of a
    `tfd.TransformedDistribution` then makes one pass, not two.

    Nothing is remembered of a bijector's arguments, so that a result never is that of older variables.
    Two instances are never equal, however alike their arguments are. TFP's cache is shared by all
    instances of a class and keyed by `==`; with TFP's comparison by constructor arguments the second
    of two models built alike would be handed the first one's result.
    """

    _cache = _FreshCache(forward_name="_augmented_forward", inverse_name="_augmented_inverse")

    # For a class whose two directions share some work, such as a coupling's network: whether it has
    #     _inverse_vjp(z, dz, dlog_det, sources, **kwargs) -> (x, dx, others)
    # and `_forward_vjp` alike, which recover x from z = inverse(x) and differentiate the loss by it, as
    # `_reversible` has it, in one evaluation of the network. A reversible chain calls them.
    _has_vjp = False

    def _get_parameterization(self):
        return id(self)

    @classmethod
    def _parameter_properties(cls, dtype):
        del dtype
        return {}

    def _inverse_with_log_det(self, x, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} has no inverse.")

    def _forward_with_log_det(self, z, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} has no forward.")

    # TFP's own message for a wrong dtype prints the whole tensor.

    def _call_inverse(self, y, name, **kwargs):
        check_dtype(y, self.dtype, self.name)
        return super()._call_inverse(y, name, **kwargs)

    def _call_forward(self, x, name, **kwargs):
        check_dtype(x, self.dtype, self.name)
        return super()._call_forward(x, name, **kwargs)

    def _call_inverse_log_det_jacobian(self, y, event_ndims, name, **kwargs):
        check_dtype(y, self.dtype, self.name)
        return super()._call_inverse_log_det_jacobian(y, event_ndims, name, **kwargs)

    def _call_forward_log_det_jacobian(self, x, event_ndims, name, **kwargs):
        check_dtype(x, self.dtype, self.name)
        return super()._call_forward_log_det_jacobian(x, event_ndims, name, **kwargs)

    # The names in TFP's hooks (x is what `forward` takes) are the reverse of ours above.

    def _augmented_inverse(self, y, **kwargs):
        value, log_det = self._inverse_with_log_det(y, **kwargs)
        return value, {"ildj": log_det}

    def _augmented_forward(self, x, **kwargs):
        value, log_det = self._forward_with_log_det(x, **kwargs)
        return value, {"ildj": -log_det}

    def _inverse(self, y, **kwargs):
        return self._inverse_with_log_det(y, **kwargs)[0]

    def _forward(self, x, **kwargs):
        return self._forward_with_log_det(x, **kwargs)[0]

    def _inverse_log_det_jacobian(self, y, **kwargs):
        return self._inverse_with_log_det(y, **kwargs)[1]

    def _forward_log_det_jacobian(self, x, **kwargs):
        return self._forward_with_log_det(x, **kwargs)[1]


def check_floating(dtype, owner):
    """Returns `dtype` as a `tf.DType`; raises `ValueError` unless it is a floating type."""
    dtype = tf.as_dtype(dtype)
    if not dtype.is_floating:
        raise UserError(f"{owner}: `dtype` must be a floating type, got {dtype.name}.")
    return dtype


def check_dtype(x, dtype, owner):
    """Raises `ValueError` if `x` is a tensor of another dtype than `dtype` (None: any)."""
    if dtype is not None and tf.is_tensor(x) and x.dtype != dtype:
        raise UserError(
            f"{owner}: the input must have dtype={tf.as_dtype(dtype).name}, got a tensor of {x.dtype.name}."
        )


def check_channels(x, num_channels, owner):
    """Raises `ValueError` unless the last axis of `x` has `num_channels` entries."""
    if x.shape.rank is None:
        return
    if x.shape.rank < 1 or x.shape[-1] not in (None, num_channels):
        raise UserError(
            f"{owner}: the last axis of the input must have num_channels={num_channels} entries, "
            f"got an input of shape {tuple(x.shape)}."
        )


def check_shape(value, shape, argument, owner):
    """Raises `ValueError` unless `value`, a variable or tensor, can have exactly this shape."""
    found = tf.TensorShape(np.shape(value) if isinstance(value, (np.ndarray, list)) else value.shape)
    if not found.is_compatible_with(shape):
        raise UserError(f"{owner}: `{argument}` must have shape {tuple(shape)}, got {tuple(found)}.")


def check_count(value, argument, owner):
    """Returns `value` as a Python `int`; raises `ValueError` unless it is a positive integer."""
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise UserError(f"{owner}: `{argument}` must be a positive integer, got {value!r}.")
    return int(value)
