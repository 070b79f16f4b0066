"""A network that sees no further than the data go."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfp_flows.checks.errors import UserError


class Limited(tf.Module):
    """A network whose input is clipped: f(max(-c, min(x, c))).

    Networks of ReLUs grow as their inputs do. In a flow the output of one coupling is the input of the next:
    far from the data the shifts then grow from step to step, and with them what the inverse makes of a
    rounding error. Past the limit c a clipped input no longer moves the output.

    ```python
    factory = tfp_flows.networks.limited(tfp_flows.networks.ConvNetwork, 5.0)
    coupling = tfp_flows.bijectors.AffineCoupling(12, factory)
    ```
    """

    def __init__(self, network: Callable[..., tf.Tensor], limit: float, name: str = "limited") -> None:
        """Takes the network.

        Args:
          network: Callable of x and keyword arguments, which are passed on.
          limit: c, a positive number, in units of x.
          name: Python `str`.

        Raises:
          UserError: If the limit is none.
        """
        super().__init__(name=name)
        if not 0 < limit < float("inf"):
            raise UserError(f"{name}: `limit` must be positive and finite, got {limit!r}.")
        self._network = network
        self._limit = float(limit)

    @property
    def condition_channels(self) -> int | None:
        """Those of the network; None where it does not say."""
        return getattr(self._network, "condition_channels", None)

    @property
    def limit(self) -> float:
        """c."""
        return self._limit

    def __call__(self, x: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        """What the network says of the clipped `x`."""
        return self._network(tf.clip_by_value(x, -self._limit, self._limit), **kwargs)


def limited(
    factory: Callable[[int, int], Callable[..., tf.Tensor]], limit: float
) -> Callable[[int, int], Limited]:
    """The factory of `Limited` networks of those that `factory(in_channels, out_channels)` makes."""
    return lambda in_channels, out_channels: Limited(factory(in_channels, out_channels), limit)
