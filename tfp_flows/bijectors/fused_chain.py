"""A chain of bijectors in one walk, with adjacent linear layers folded into one."""

import contextlib

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows.bijectors import _one_pass, _reversible, actnorm, conv1x1
from tfp_flows.checks.errors import UserError

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

    With `reversible` the gradient keeps only the chain's output: the backward pass recomputes each
    member's input from its output and differentiates it there, the members of a nested `FusedChain` or
    of a `FactorOut` included. In a `tf.function` the memory for activations then does not grow with the
    number of members; a training step takes about a third more time. Gradients, second ones too, are
    those of the ordinary mode up to rounding, which grows with the chain's depth as that of
    `forward(inverse(x))` does. Every member must have both directions, and no variable may be assigned
    between a value and its gradient.

    #### References

    [1]: Aidan N. Gomez, Mengye Ren, Raquel Urtasun and Roger B. Grosse. The Reversible Residual Network:
         Backpropagation Without Storing Activations. NeurIPS 2017. https://arxiv.org/abs/1707.04585
    """

    _has_vjp = True

    def __init__(self, bijectors, reversible=False, validate_args=False, name="fused_chain"):
        """Creates the chain.

        Args:
          bijectors: Sequence of `tfb.Bijector`s, in the order of `tfb.Chain`: image side first.
          reversible: Python `bool`: save memory in gradients, as described above.
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
        self._reversible = bool(reversible)
        self._assembled = _Assembled()
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

    @property
    def reversible(self):
        """Whether gradients recompute the members' inputs."""
        return self._reversible

    def _inverse_with_log_det(self, x, **kwargs):
        return self._call(x, kwargs, self._walk_inverse, self._inverse_vjp)

    def _forward_with_log_det(self, z, **kwargs):
        return self._call(z, kwargs, self._walk_forward, self._forward_vjp)

    def _call(self, value, kwargs, walk, vjp):
        _check_names(kwargs, self._bijectors, self.name)
        if not self._reversible:
            return walk(value, kwargs)
        kwargs = tf.nest.map_structure(
            lambda v: tf.convert_to_tensor(v) if isinstance(v, tf.Variable) else v, kwargs
        )
        sources = _floating_tensors(self, kwargs)
        return _reversible.differentiate(
            lambda value: walk(value, kwargs),
            lambda *cotangents: vjp(*cotangents, sources, **kwargs),
            value,
            sources,
        )

    def _walk_inverse(self, x, kwargs):
        return self._walk(
            x, kwargs, self._assembled.inverse or self._links(inverse=True), inverse_with_log_det
        )

    def _walk_forward(self, z, kwargs):
        return self._walk(
            z, kwargs, self._assembled.forward or self._links(inverse=False), forward_with_log_det
        )

    def _links(self, inverse):
        """The members in the order of one direction, the products of folded layers made for it."""
        links = _links(self._bijectors)
        _assemble([link for link in links if isinstance(link, _Folded)], inverse)
        return links if inverse else links[::-1]

    def _walk(self, value, kwargs, links, apply):
        """Applies `links` in order."""
        log_det = tf.zeros([], value.dtype)
        for link in links:
            value, term = apply(link, value, self.forward_min_event_ndims, kwargs.get(link.name, {}))
            log_det += term
        return value, log_det

    def _inverse_vjp(self, z, dz, dlog_det, sources, **kwargs):
        return self._walk_back(z, dz, dlog_det, sources, kwargs, _links(self._bijectors)[::-1], inverse_vjp)

    def _forward_vjp(self, x, dx, dlog_det, sources, **kwargs):
        return self._walk_back(x, dx, dlog_det, sources, kwargs, _links(self._bijectors), forward_vjp)

    def _walk_back(self, value, gradient, dlog_det, sources, kwargs, links, vjp):
        """Undoes `links` in order; each one waits for the gradients of the one before."""
        others = {}
        value, gradient = _reversible.sequenced([gradient, dlog_det], value, gradient)
        event_ndims = self.forward_min_event_ndims
        for link in links:
            own = kwargs.get(link.name, {})
            try:
                value, gradient, found = vjp(link, value, gradient, dlog_det, event_ndims, sources, own)
            except NotImplementedError as error:
                raise UserError(
                    f"{self.name}: a reversible chain needs both directions of every member, but "
                    f"{link.name} lacks one: {error}"
                ) from error
            _reversible.add(others, found)
            value, gradient = _reversible.sequenced([gradient, *found.values()], value, gradient)
        return value, gradient, others

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


class _Assembled:
    """The links of each direction, where `assembled` made them beforehand."""

    inverse = None
    forward = None


@contextlib.contextmanager
def assembled(module, inverse):
    """Within it, every `FusedChain` in `module` uses 1x1 kernels that were assembled at its beginning.

    A chain assembles the kernels of its folded layers at each call, in a loop at each turn. With this
    around the loop they are assembled once, before it, and variables must not be assigned within.

    Args:
      module: `tf.Module`: a bijector, a distribution.
      inverse: Python `bool`, for calls of which direction.
    """
    direction = "inverse" if inverse else "forward"
    chains = [part for part in (module, *module.submodules) if isinstance(part, FusedChain)]
    for chain in chains:
        setattr(chain._assembled, direction, chain._links(inverse))
    try:
        yield
    finally:
        for chain in chains:
            setattr(chain._assembled, direction, None)


def inverse_with_log_det(bijector, x, event_ndims, kwargs):
    """(`bijector.inverse(x)`, its log-determinant over `event_ndims` axes), in one evaluation."""
    if isinstance(bijector, _Folded):
        return bijector.inverse_with_log_det(x, event_ndims)
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
    if isinstance(bijector, _Folded):
        return bijector.forward_with_log_det(z, event_ndims)
    if isinstance(bijector, INVERT):
        return inverse_with_log_det(bijector.bijector, z, event_ndims, kwargs)
    if isinstance(bijector, _one_pass.OnePassBijector):
        value, log_det = bijector._forward_with_log_det(z, **kwargs)
        return value, _over_event(log_det, z, event_ndims, bijector)
    z = tf.identity(z)
    value = bijector.forward(z, **kwargs)
    return value, bijector.forward_log_det_jacobian(z, event_ndims=event_ndims, **kwargs)


def inverse_vjp(bijector, z, dz, dlog_det, event_ndims, sources, kwargs):
    """Undoes `inverse_with_log_det` and differentiates it: (x, dx, others); see `_reversible`."""
    if isinstance(bijector, INVERT):
        return forward_vjp(bijector.bijector, z, dz, dlog_det, event_ndims, sources, kwargs)
    if _has_own_vjp(bijector, event_ndims):
        return bijector._inverse_vjp(z, dz, dlog_det, sources, **kwargs)
    return _reversible.undo_and_differentiate(
        lambda x, _: inverse_with_log_det(bijector, x, event_ndims, kwargs),
        lambda z, _: forward_with_log_det(bijector, z, event_ndims, kwargs)[0],
        z,
        dz,
        dlog_det,
        sources,
    )


def forward_vjp(bijector, x, dx, dlog_det, event_ndims, sources, kwargs):
    """Undoes `forward_with_log_det` and differentiates it: (z, dz, others); see `_reversible`."""
    if isinstance(bijector, INVERT):
        return inverse_vjp(bijector.bijector, x, dx, dlog_det, event_ndims, sources, kwargs)
    if _has_own_vjp(bijector, event_ndims):
        return bijector._forward_vjp(x, dx, dlog_det, sources, **kwargs)
    return _reversible.undo_and_differentiate(
        lambda z, _: forward_with_log_det(bijector, z, event_ndims, kwargs),
        lambda x, _: inverse_with_log_det(bijector, x, event_ndims, kwargs)[0],
        x,
        dx,
        dlog_det,
        sources,
    )


def _has_own_vjp(bijector, event_ndims):
    """Whether `bijector` recomputes and differentiates in one; its log-determinants are of its own rank."""
    return (
        isinstance(bijector, _one_pass.OnePassBijector)
        and bijector._has_vjp
        and bijector.inverse_min_event_ndims == event_ndims
    )


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


class _Folded:
    """An `ActNorm` and the 1x1 convolution after it, as one matrix product."""

    name = None

    def __init__(self, norm, conv):
        self.norm = norm
        self.conv = conv
        self.product = None  # (kernel, bias, log-determinant of a position), once `_assemble` made them

    def inverse_with_log_det(self, x, event_ndims):
        return self._apply(x, event_ndims, inverse=True)

    def forward_with_log_det(self, z, event_ndims):
        return self._apply(z, event_ndims, inverse=False)

    def _apply(self, value, event_ndims, inverse):
        kernel, bias, log_det = self.product or _products([self], inverse)[0]
        positions = _num_positions(value, event_ndims, 1)
        return conv1x1.apply_kernel(value, kernel, bias), positions * log_det


def _assemble(folded, inverse):
    """Makes the products of folded layers, of all those of one width at once."""
    widths = {link.conv.num_channels for link in folded}
    for group in ([link for link in folded if link.conv.num_channels == width] for width in sorted(widths)):
        for link, product in zip(group, _products(group, inverse), strict=True):
            link.product = product


def _products(folded, inverse):
    """[(kernel, bias, log-determinant)] of folded layers of one width, in one direction."""
    convs = [link.conv for link in folded]
    log_scale = tf.stack([link.norm.log_scale for link in folded])
    shift = tf.stack([link.norm.shift for link in folded])
    log_det = tf.reduce_sum(log_scale + tf.stack([conv.log_diagonal for conv in convs]), axis=1)
    if inverse:
        kernel = conv1x1.kernels(convs) * tf.exp(log_scale)[:, tf.newaxis]
        bias = tf.reduce_sum(kernel * shift[:, tf.newaxis], axis=2)
    else:
        kernel = conv1x1.inverse_kernels(convs) * tf.exp(-log_scale)[:, :, tf.newaxis]
        bias, log_det = -shift, -log_det
    return list(zip(*(tf.unstack(values) for values in (kernel, bias, log_det)), strict=True))


def _links(bijectors):
    """The members in order, each `ActNorm` and a 1x1 convolution after it folded into one."""
    links = []
    for member in bijectors:
        if links and _foldable(links[-1], member):
            links[-1] = _Folded(links[-1], member)
        else:
            links.append(member)
    return links


def _foldable(first, second):
    # Of these very classes: a subclass may compute something else.
    return (
        type(first) is actnorm.ActNorm
        and type(second) is conv1x1.InvertibleConv1x1
        and first.num_channels == second.num_channels
    )


def _floating_tensors(chain, kwargs):
    """Tensors that conditioning, or a member's parameter, is given as; variables look after themselves."""
    members = [m for m in chain.submodules if isinstance(m, tfb.Bijector)]
    leaves = tf.nest.flatten([kwargs, *(dict(m.parameters) for m in members)])
    tensors = {v.ref(): v for v in leaves if isinstance(v, tf.Tensor) and v.dtype.is_floating}
    return list(tensors.values())


def _check_members(bijectors, name):
    if not bijectors:
        raise UserError(f"{name}: `bijectors` must not be empty.")
    for bijector in bijectors:
        if not isinstance(bijector, tfb.Bijector):
            raise UserError(f"{name}: `bijectors` must all be tfb.Bijector, got {bijector!r}.")
        if bijector.forward_min_event_ndims != bijector.inverse_min_event_ndims or not isinstance(
            bijector.forward_min_event_ndims, int
        ):
            raise UserError(
                f"{name}: every member must keep the rank of its event, but {bijector.name} maps rank "
                f"{bijector.forward_min_event_ndims} to {bijector.inverse_min_event_ndims}; "
                f"use tfb.Chain for it."
            )


def _common_dtype(bijectors, name):
    dtypes = {b.dtype for b in bijectors if b.dtype is not None}
    if len(dtypes) > 1:
        listed = ", ".join(f"{b.name}: {tf.as_dtype(b.dtype).name}" for b in bijectors if b.dtype)
        raise UserError(f"{name}: the members' dtypes differ ({listed}).")
    return dtypes.pop() if dtypes else None


def _check_names(kwargs, bijectors, name):
    unknown = sorted(set(kwargs) - {b.name for b in bijectors})
    if unknown:
        raise UserError(
            f"{name}: keyword arguments go to members by name, but there is no member called "
            f"{', '.join(map(repr, unknown))}; the members are {[b.name for b in bijectors]}."
        )
