"""The normal distribution that an encoder returns, with noise from `tfp_flows.numerics.noise`."""

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.numerics import noise


class Posterior(tfd.Normal):
    """Normal of batch shape `[B, L]`: a draw is loc_b + scale_b eps_b, where eps_b `[L]` is standard normal.

    With `shared_noise` eps is the same for all b. Each element's draws are still those of a normal, but
    those of two elements are not independent; so an estimate depends neither on the size of a batch nor on
    its order. A seed may be a part of a batch's (`Seed.part`).
    """

    def __init__(
        self, loc: tf.Tensor, scale: tf.Tensor, shared_noise: bool = False, name: str = "posterior"
    ):
        """Takes `loc` and `scale` `[B, L]`."""
        parameters = dict(loc=loc, scale=scale, shared_noise=shared_noise, name=name)
        super().__init__(loc, scale, name=name)
        self._parameters = parameters
        self._shared_noise = shared_noise

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        # TFP warns where a subclass with arguments of its own inherits this.
        return super()._parameter_properties(dtype, num_classes)

    def _sample_n(self, n, seed=None):
        if self._shared_noise:
            eps = noise.normal([n, 1, self.loc.shape[-1]], seed, self.dtype)
        else:
            batch_size, size = tf.unstack(tf.shape(self.loc))
            eps = tf.transpose(noise.normal([batch_size, n, size], seed, self.dtype), [1, 0, 2])
        return self.loc + self.scale * eps
