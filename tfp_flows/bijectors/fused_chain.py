"""A chain of bijectors in one walk, with adjacent linear layers folded into one."""

import contextlib
import contextvars
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flows.bijectors import _members, _one_pass, _reversible, _sharing, folding, steps
from tfp_flows.bijectors._one_pass import Gradients, Pair
from tfp_flows.checks.errors import UserError
from tfp_flows.numerics import positions

# The members of each chain and direction, where `kernels_assembled_once` made their products beforehand:
# {(id of the chain, inverse): members}. Of the thread that made them, so that no other meets their graph.
_ASSEMBLED: contextvars.ContextVar[Mapping[tuple[int, bool], list]] = contextvars.ContextVar("assembled")


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
    between a value and its gradient. Gradients reach the value, variables, and what is given as parameters
    or conditions: a tensor that a network's own code takes from elsewhere gets none.

    #### References

    [1]: Aidan N. Gomez, Mengye Ren, Raquel Urtasun and Roger B. Grosse. The Reversible Residual Network:
         Backpropagation Without Storing Activations. NeurIPS 2017. https://arxiv.org/abs/1707.04585
    """

    def __init__(
        self,
        bijectors: Sequence[tfb.Bijector],
        reversible: bool = False,
        validate_args: bool = False,
        name: str = "fused_chain",
    ):
        """Creates the chain.

        Args:
          bijectors: Sequence of `tfb.Bijector`s, in the order of `tfb.Chain`: image side first.
          reversible: Python `bool`: save memory in gradients, as described above.
          validate_args: Python `bool`, as in every TFP bijector.
          name: Python `str`.

        Raises:
          ValueError: If there is no bijector, one is not a bijector, one changes the rank of its
            event, one has a batch of parameters, or two dtypes clash.
        """
        bijectors = list(bijectors)
        parameters = dict(locals())
        _members.check_members(bijectors, name)
        event_ndims = max(b.forward_min_event_ndims for b in bijectors)
        _members.check_no_batch_of_parameters(bijectors, event_ndims, name)
        self._bijectors = bijectors
        self._reversible = bool(reversible)
        super().__init__(
            forward_min_event_ndims=event_ndims,
            is_constant_jacobian=all(b.is_constant_jacobian for b in bijectors),
            dtype=_members.common_dtype(bijectors, name),
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    @property
    def bijectors(self) -> list[tfb.Bijector]:
        """The members, image side first."""
        return list(self._bijectors)

    @property
    def reversible(self) -> bool:
        """Whether gradients recompute the members' inputs."""
        return self._reversible

    @property
    def is_constant_log_det(self) -> bool:
        """Whether that of every member is."""
        return all(steps.is_constant_log_det(member) for member in self._bijectors)

    def _inverse_with_log_det(self, x: tf.Tensor, **conditions: Any) -> Pair:
        return self._call(x, True, conditions)

    def _forward_with_log_det(self, z: tf.Tensor, **conditions: Any) -> Pair:
        return self._call(z, False, conditions)

    def _call(self, value: tf.Tensor, inverse: bool, conditions: Mapping[str, Any]) -> Pair:
        _members.check_names(conditions, self._bijectors, self.name)
        if not self._reversible:
            return self._walk(value, inverse, conditions)
        conditions = tf.nest.map_structure(
            lambda v: tf.convert_to_tensor(v) if isinstance(v, tf.Variable) else v, conditions
        )
        sources = _floating_tensors(self, conditions)
        return _reversible.differentiate(
            lambda value: self._walk(value, inverse, conditions),
            lambda z, dz, dlog_det: self._vjp(inverse, z, dz, dlog_det, sources, **conditions),
            value,
            sources,
        )

    def _walk(self, value: tf.Tensor, inverse: bool, conditions: Mapping[str, Any]) -> Pair:
        """Takes the steps of one direction in order."""
        members = _ASSEMBLED.get({}).get((id(self), inverse)) or self._assembled_members(inverse)
        log_det = tf.zeros([], value.dtype)
        for apply in _sharing.joined([step for _, step in self._steps(members, inverse, conditions)]):
            value, term = apply(value)
            log_det += term
        return value, log_det

    def _inverse_by_position(self, x: tf.Tensor, **conditions: Any) -> Pair:
        _members.check_names(conditions, self._bijectors, self.name)
        members = _ASSEMBLED.get({}).get((id(self), True)) or self._assembled_members(True)
        size, value, total = x.shape[-3:-1], x, tf.zeros([*x.shape[-3:-1], 1], x.dtype)
        for _, step in self._steps(members, True, conditions):
            value, by_position = step.apply_by_position(value)
            total = positions.added(total, positions.resampled(by_position, size))
        return value, total

    def _vjp(
        self,
        inverse: bool,
        result: tf.Tensor,
        gradient: tf.Tensor,
        dlog_det: tf.Tensor,
        sources: Sequence[tf.Tensor],
        **conditions: Any,
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """Undoes the steps, the last one first; each waits for the gradients of the one before."""
        others: Gradients = {}
        value, gradient = _reversible.sequenced([gradient, dlog_det], result, gradient)
        members = folding.folded(self._bijectors)
        for name, step in reversed(self._steps(members, inverse, conditions)):
            try:
                value, gradient, found = step.vjp(value, gradient, dlog_det, sources)
            except NotImplementedError as error:
                raise UserError(
                    f"{self.name}: a reversible chain needs both directions of every member, but "
                    f"{name} lacks one: {error}"
                ) from error
            _reversible.add(others, found)
            value, gradient = _reversible.sequenced([gradient, *found.values()], value, gradient)
        return value, gradient, others

    def _assembled_members(self, inverse: bool) -> list[tfb.Bijector | folding.FoldedPair]:
        return folding.with_products(folding.folded(self._bijectors), inverse)

    def _steps(
        self,
        members: Sequence[tfb.Bijector | folding.FoldedPair],
        inverse: bool,
        conditions: Mapping[str, Any],
    ) -> list[tuple[str, steps.Step]]:
        """[(name, step)] in the order of one direction."""
        event_ndims = self.forward_min_event_ndims
        named: list[tuple[str, steps.Step]] = []
        for member in members:
            if isinstance(member, folding.FoldedPair):
                named.append((member.conv.name, folding.FoldedStep(member, inverse, event_ndims)))
            else:
                own = conditions.get(member.name)
                named.append((member.name, steps.step(member, inverse, event_ndims, own)))
        return named if inverse else named[::-1]

    def _inverse_event_shape(self, output_shape: tf.TensorShape) -> tf.TensorShape:
        for member in self._bijectors:
            output_shape = member.inverse_event_shape(output_shape)
        return output_shape

    def _forward_event_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        for member in reversed(self._bijectors):
            input_shape = member.forward_event_shape(input_shape)
        return input_shape

    def _inverse_event_shape_tensor(self, output_shape: tf.Tensor) -> tf.Tensor:
        for member in self._bijectors:
            output_shape = member.inverse_event_shape_tensor(output_shape)
        return output_shape

    def _forward_event_shape_tensor(self, input_shape: tf.Tensor) -> tf.Tensor:
        for member in reversed(self._bijectors):
            input_shape = member.forward_event_shape_tensor(input_shape)
        return input_shape


def is_chain(bijector: tfb.Bijector) -> bool:
    """Whether `bijector` applies its `bijectors` one after another: a `FusedChain` or `tfb.Chain`."""
    return isinstance(bijector, FusedChain | steps.CHAIN)


@contextlib.contextmanager
def kernels_assembled_once(module: tf.Module, inverse: bool) -> Iterator[None]:
    """Within it, every `FusedChain` in `module` uses 1x1 kernels that were assembled at its beginning.

    A chain assembles the kernels of its folded layers at each call, in a loop at each turn. With this
    around the loop they are assembled once, before it, and variables must not be assigned within. It
    concerns the calls of this thread alone.

    Args:
      module: `tf.Module`: a bijector, a distribution.
      inverse: Python `bool`, for calls of which direction.
    """
    chains = [one for one in (module, *module.submodules) if isinstance(one, FusedChain)]
    made = {(id(chain), inverse): chain._assembled_members(inverse) for chain in chains}
    token = _ASSEMBLED.set({**_ASSEMBLED.get({}), **made})
    try:
        yield
    finally:
        _ASSEMBLED.reset(token)


def _floating_tensors(chain: FusedChain, conditions: Mapping[str, Any]) -> list[tf.Tensor]:
    """Tensors that conditioning, or a member's parameter, is given as; variables look after themselves."""
    members = [m for m in chain.submodules if isinstance(m, tfb.Bijector)]
    leaves = tf.nest.flatten([conditions, *(dict(m.parameters) for m in members)])
    tensors = {v.ref(): v for v in leaves if isinstance(v, tf.Tensor) and v.dtype.is_floating}
    return list(tensors.values())
