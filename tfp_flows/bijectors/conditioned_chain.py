"""A chain whose couplings are all given one condition."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flows.bijectors import _condition
from tfp_flows.bijectors._shared_condition import Condition, SharedCondition
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError


class ConditionedChain(SharedCondition):
    """`FusedChain` on vectors `[D]`, with one keyword `condition` for all members that have a network.

        forward (latent -> data):  b_1(b_2(... b_n(z; h) ...; h); h)
        inverse (data -> latent):  b_1 first, b_n last

    h is a vector `[..., K]`; the axes in front are those of the batch: they are broadcast against it from
    the right, and anything else is refused. Members that have no `network` are given nothing. Keyword
    arguments by members' names, as `FusedChain` takes them, go in its place.

    #### Example

    ```python
    network = functools.partial(tfp_flows.networks.DenseNetwork, condition_channels=3)
    couplings = [
        tfp_flows.bijectors.AffineCoupling(4, network, event_ndims=1, swap=swap, name=f"coupling{swap:d}")
        for swap in (False, True)
    ]
    chain = tfp_flows.bijectors.ConditionedChain(couplings, condition_size=3)
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), 4), chain)
    flow.log_prob(y, bijector_kwargs={"condition": h})         # y: [B, 4], h: [B, 3] or [3]
    ```
    """

    size_argument = "condition_size"
    size_unit = "values"

    def __init__(
        self,
        bijectors: Sequence[tfb.Bijector],
        condition_size: int = 0,
        validate_args: bool = False,
        name: str = "conditioned_chain",
    ):
        """Creates the chain.

        Args:
          bijectors: Sequence of `tfb.Bijector`s of vectors, in the order of `tfb.Chain`: data side first.
          condition_size: K, 0 for no condition.
          validate_args: Python `bool`, as in every TFP bijector.
          name: Python `str`.

        Raises:
          ValueError: As `FusedChain`; or if `condition_size` is no count, or a member's event is no vector.
        """
        bijectors = list(bijectors)
        parameters = dict(locals())
        super().__init__(bijectors, validate_args=validate_args, name=name)
        if self.forward_min_event_ndims != 1:
            raise UserError(
                f"{name}: events must be vectors, but those of its members have rank "
                f"{self.forward_min_event_ndims}."
            )
        self._condition_size = 0
        if condition_size != 0:
            self._condition_size = arguments.check_count(condition_size, "condition_size", name)
        known = {key: value for key, value in parameters.items() if key not in ("self", "__class__")}
        self._parameters = self._no_dependency(known)

    @property
    def condition_size(self) -> int:
        """K, the size of the condition; 0 for none."""
        return self._condition_size

    def _of_members(self, condition: Condition, value: tf.Tensor) -> dict[str, Any]:
        given = _condition.broadcast(condition, value, 1, self._condition_size, self.name)
        conditioned = [member.name for member in self.bijectors if hasattr(member, "network")]
        return {name: {"condition": given} for name in conditioned}
