"""A chain of bijectors in one walk, with adjacent linear layers folded into one."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows.bijectors import _one_pass, actnorm, conv1x1

tfb = tfp.bijectors
# What tfb.Invert(b) and tfb.Chain(...) return, whether or not their members are CompositeTensors:
# ours are not, and then TFP returns an instance of the base class.
INVERT = tfb.Invert.__bases__[0]
CHAIN = tfb.Chain.__bases__[0]


class FusedChain(_one_pass.OnePassBijector):
    """`tfb.Chain` for long flows: the same order, the same objects, one walk.

        forward (latent -> image):  b_1(b_2(... b_n(z)))       for bijectors = [b_1, ..., b_n]
        inverse (image -> latent):  b_1 first, b_n last
        log|det dz/dx| = sum of the bijectors' own

    Compared with `tfb.Chain` the walk is made once for value and log-determinant, without TFP's
    bookkeeping for each member (a third of the graph, and of the time to trace it), and an `ActNorm`
    followed by an `InvertibleConv1x1` becomes one matrix product with a bias:

        z = W diag(s) x + W diag(s) shift,      s = exp(log_scale)

    Members are bijectors of this toolkit or any others that keep the rank of an event; they stay what
    they are and can be called one by one. Keyword arguments are routed by name, as in `tfb.Chain`:
    `chain.inverse(x, coupling_name={"condition": h})`; members of one name all get them. The members'
    parameters have no batch shape here: for a batch of bijectors use `tfb.Chain`.
    """

    def __init__(self, bijectors, validate_args=False, name="fused_chain"):
        """Creates the chain.

        Args:
          bijectors: Sequence of `tfb.Bijector`s, in the order of `tfb.Chain`: image side first.
          validate_args: Python `bool`, as in every TFP bijector.
          name: Python `str`.

        Raises:
          ValueError: If there is no bijector, one is not a bijector, one changes the rank of its
            event, or two dtypes clash.
        """
        parameters = dict(locals())
        bijectors = list(bijectors)
        _check_members(bijectors, name)
        self._bijectors = bijectors
        super().__init__(
            forward_min_event_ndims=max(b.forward_min_event_ndims for b in bijectors),
            is_constant_jacobian=all(b.is_constant_jacobian for b in bijectors),
            dtype=_common_dtype(bijectors, name),
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    @property
    def bijectors(self):
        """The members, image side first."""
        return list(self._bijectors)

    def _inverse_with_log_det(self, x, **kwargs):
        return self._walk(x, kwargs, self._bijectors, _fold_inverse, inverse_with_log_det)

    def _forward_with_log_det(self, z, **kwargs):
        return self._walk(z, kwargs, self._bijectors[::-1], _fold_forward, forward_with_log_det)

    def _walk(self, value, kwargs, members, fold, apply):
        """Applies `members` in order; `fold` takes a pair in one step where it can."""
        _check_names(kwargs, self._bijectors, self.name)
        event_ndims = self.forward_min_event_ndims
        log_det = tf.zeros([], value.dtype)
        position = 0
        while position < len(members):
            folded = fold(members[position : position + 2], value, event_ndims)
            if folded is not None:
                value, term = folded
                position += 2
            else:
                member = members[position]
                value, term = apply(member, value, event_ndims, kwargs.get(member.name, {}))
                position += 1
            log_det += term
        return value, log_det

    def _inverse_event_shape(self, output_shape):
        for member in self._bijectors:
            output_shape = member.inverse_event_shape(output_shape)
        return output_shape

    def _forward_event_shape(self, input_shape):
        for member in reversed(self._bijectors):
            input_shape = member.forward_event_shape(input_shape)
        return input_shape

    def _inverse_event_shape_tensor(self, output_shape):
        for member in self._bijectors:
            output_shape = member.inverse_event_shape_tensor(output_shape)
        return output_shape

    def _forward_event_shape_tensor(self, input_shape):
        for member in reversed(self._bijectors):
            input_shape = member.forward_event_shape_tensor(input_shape)
        return input_shape


def inverse_with_log_det(bijector, x, event_ndims, kwargs):
    """(`bijector.inverse(x)`, its log-determinant over `event_ndims` axes), in one evaluation."""
    if isinstance(bijector, INVERT):
        return forward_with_log_det(bijector.bijector, x, event_ndims, kwargs)
    if isinstance(bijector, _one_pass.OnePassBijector):
        value, log_det = bijector._inverse_with_log_det(x, **kwargs)
        return value, _over_event(log_det, x, event_ndims, bijector)
    x = tf.identity(x)  # TFP's cache would remember an input seen before a variable was assigned
    value = bijector.inverse(x, **kwargs)
    return value, bijector.inverse_log_det_jacobian(x, event_ndims=event_ndims, **kwargs)


def forward_with_log_det(bijector, z, event_ndims, kwargs):
    """(`bijector.forward(z)`, its log-determinant over `event_ndims` axes), in one evaluation."""
    if isinstance(bijector, INVERT):
        return inverse_with_log_det(bijector.bijector, z, event_ndims, kwargs)
    if isinstance(bijector, _one_pass.OnePassBijector):
        value, log_det = bijector._forward_with_log_det(z, **kwargs)
        return value, _over_event(log_det, z, event_ndims, bijector)
    z = tf.identity(z)
    value = bijector.forward(z, **kwargs)
    return value, bijector.forward_log_det_jacobian(z, event_ndims=event_ndims, **kwargs)


def _over_event(log_det, x, event_ndims, bijector):
    """Sums the log-determinant of a smaller event over the further axes of a larger one."""
    own_ndims = bijector.inverse_min_event_ndims
    extra = event_ndims - own_ndims
    if extra == 0:
        return log_det
    if bijector.is_constant_jacobian and log_det.shape.rank == 0:
        return _num_positions(x, event_ndims, own_ndims) * log_det
    return tf.reduce_sum(log_det, axis=list(range(-extra, 0)))


def _num_positions(x, event_ndims, own_ndims):
    """How many events of rank `own_ndims` an event of rank `event_ndims` holds, in `x`'s dtype."""
    rank = x.shape.rank
    shape = x.shape[rank - event_ndims : rank - own_ndims]
    if shape.is_fully_defined():
        return tf.constant(shape.num_elements(), x.dtype)
    return tf.cast(tf.reduce_prod(tf.shape(x)[rank - event_ndims : rank - own_ndims]), x.dtype)


def _fold_inverse(pair, x, event_ndims):
    """ActNorm, then a 1x1 convolution, as one product: (z, log-determinant), or None."""
    if not _foldable(pair):
        return None
    norm, conv = pair
    kernel = conv.kernel() * tf.exp(norm.log_scale)
    bias = tf.linalg.matvec(kernel, norm.shift)
    value = conv1x1.apply_kernel(x, kernel, bias)
    log_det = tf.reduce_sum(norm.log_scale + conv.log_diagonal)
    return value, _num_positions(x, event_ndims, 1) * log_det


def _fold_forward(pair, z, event_ndims):
    """The inverse of a 1x1 convolution, then that of ActNorm, as one product; or None."""
    if not _foldable(pair[::-1]):
        return None
    conv, norm = pair
    kernel = conv.inverse_kernel() * tf.exp(-norm.log_scale)[:, tf.newaxis]
    value = conv1x1.apply_kernel(z, kernel, -tf.convert_to_tensor(norm.shift))
    log_det = tf.reduce_sum(norm.log_scale + conv.log_diagonal)
    return value, -_num_positions(z, event_ndims, 1) * log_det


def _foldable(pair):
    return (
        len(pair) == 2
        and isinstance(pair[0], actnorm.ActNorm)
        and isinstance(pair[1], conv1x1.InvertibleConv1x1)
        and pair[0].num_channels == pair[1].num_channels
    )


def _check_members(bijectors, name):
    if not bijectors:
        raise ValueError(f"{name}: `bijectors` must not be empty.")
    for bijector in bijectors:
        if not isinstance(bijector, tfb.Bijector):
            raise ValueError(f"{name}: `bijectors` must all be tfb.Bijector, got {bijector!r}.")
        if bijector.forward_min_event_ndims != bijector.inverse_min_event_ndims or not isinstance(
            bijector.forward_min_event_ndims, int
        ):
            raise ValueError(
                f"{name}: every member must keep the rank of its event, but {bijector.name} maps rank "
                f"{bijector.forward_min_event_ndims} to {bijector.inverse_min_event_ndims}; "
                f"use tfb.Chain for it."
            )


def _common_dtype(bijectors, name):
    dtypes = {b.dtype for b in bijectors if b.dtype is not None}
    if len(dtypes) > 1:
        listed = ", ".join(f"{b.name}: {tf.as_dtype(b.dtype).name}" for b in bijectors if b.dtype)
        raise ValueError(f"{name}: the members' dtypes differ ({listed}).")
    return dtypes.pop() if dtypes else None


def _check_names(kwargs, bijectors, name):
    unknown = sorted(set(kwargs) - {b.name for b in bijectors})
    if unknown:
        raise ValueError(
            f"{name}: keyword arguments go to members by name, but there is no member called "
            f"{', '.join(map(repr, unknown))}; the members are {[b.name for b in bijectors]}."
        )
