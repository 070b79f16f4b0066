"""A normal distribution whose draws use the same noise for every element of a batch."""

import tensorflow_probability as tfp

from tfp_flows import noise

tfd = tfp.distributions


class SharedNoiseNormal(tfd.Normal):
    """Normal of batch shape `[B, L]`: the sample for each b is loc_b + scale_b eps, eps `[L]` common to all.

    Each element's draws are those of a normal; draws of two elements are not independent. So an estimate
    depends neither on the size of a batch nor on its order.
    """

    def _sample_n(self, n, seed=None):
        shape = [n] + [1] * (self.loc.shape.rank - 1) + [self.loc.shape[-1]]
        return self.loc + self.scale * noise.normal(shape, seed, self.dtype)
