"""The density of what a fixed network makes of an input, as a model that detectors take."""

from collections.abc import Callable, Sequence

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows.checks.errors import UserError


class Features(tf.Module):
    """log p(h(x)): a flow over the features that a fixed network h makes of images, or of what else.

        log_prob(x) = flow.log_prob(network(x))

    It is a density of features, in their units, and none of x: it cannot be sampled. Where the likelihood
    of pixels fails to tell foreign images, that of features of a trained network often does not [1]. The
    network is taken as it is: training changes the flow alone, best before, on an array of features.

    #### Example

    ```python
    features = network.predict(images)                           # [N, D], of a tf_keras model, say
    flow = tfp_flows.vector_flow(features.shape[1])
    tfp_flows.fit(flow, features, steps=2_000)
    model = tfp_flows.distributions.Features(network, flow, (28, 28, 1))
    detector = tfp_flows.detectors.Likelihood(model).fit(validation_images)     # of images
    ```

    #### References

    [1]: Polina Kirichenko, Pavel Izmailov and Andrew Gordon Wilson. Why normalizing flows fail to detect
         out-of-distribution data. NeurIPS 2020. https://arxiv.org/abs/2006.08545 (section 7)
    """

    def __init__(
        self,
        network: Callable[[tf.Tensor], tf.Tensor],
        flow: tfd.Distribution,
        event_shape: Sequence[int],
        name: str = "features",
    ) -> None:
        """Keeps both.

        Args:
          network: From `[B, *event_shape]` of the flow's dtype to vectors `[B, D]` of it; grey levels 0..255
            of images reach it as they are.
          flow: Density of vectors `[D]`.
          event_shape: Shape of one input.
          name: Python `str`.

        Raises:
          UserError: If the network gives other vectors than the flow takes.
        """
        super().__init__(name=name)
        self._network, self._flow = network, flow
        self._event_shape = tf.TensorShape(event_shape)
        found = self.features(tf.zeros([2, *self._event_shape], flow.dtype)).shape
        if found != [2, *flow.event_shape]:
            raise UserError(
                f"{name}: `network` must give [B, D] with D of the flow's event shape {flow.event_shape}, "
                f"but makes {tuple(found)} of a batch of 2."
            )

    @property
    def event_shape(self) -> tf.TensorShape:
        """Of one input."""
        return self._event_shape

    @property
    def dtype(self) -> tf.DType:
        """In which inputs reach the network."""
        return self._flow.dtype

    @property
    def flow_of_features(self) -> tfd.Distribution:
        """The density of features."""
        return self._flow

    @property
    def trainable_variables(self) -> tuple[tf.Variable, ...]:
        """Those of the flow alone."""
        return tuple(self._flow.trainable_variables)

    def features(self, x: tf.Tensor) -> tf.Tensor:
        """h(x): `[B, D]`."""
        return tf.convert_to_tensor(self._network(tf.cast(x, self.dtype)))

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """log p(h(x)): `[B]`, nats."""
        return self._flow.log_prob(self.features(x))
