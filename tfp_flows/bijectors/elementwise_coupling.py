"""A coupling of any elementwise bijector: `Coupling`."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from tfp_flows.bijectors import _conditioner, _coupling, _templates, steps, transforms
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError


class Coupling(_coupling.SplitBijector):
    """Transforms one part of an event element by element, as a network says that is given the other part.

        inverse (image -> latent):  z_a = g(x_b).inverse(x_a),   z_b = x_b
        forward (latent -> image):  x_a = g(z_b).forward(z_a),   x_b = z_b
        log|det dz/dx| = sum over the elements of a of log |dz_a/dx_a|

    g(x_b) is the elementwise bijector that `transform` makes of the network's output. The network is
    evaluated once in every direction, for value and log-determinant; in a reversible chain too.

    #### Example

    ```python
    coupling = tfp_flows.bijectors.Coupling(
        3, network, tfp_flows.bijectors.MixtureTransform(num_components=8), split="checkerboard"
    )
    z = coupling.inverse(images)      # [B, H, W, 3]
    ```

    #### What is transformed, and what the network is given

    | `split` | a, transformed (b with `swap`) | the network's input and output |
    | --- | --- | --- |
    | "channels" | the first C - C // 2 channels: of an odd number one more | b, for each position of a |
    | "checkerboard" | pixels of an even sum of row and column | b packed: `[H, W / 2, C]` |
    | "rows" | even rows | b packed: `[H / 2, W, C]` |
    | "columns" | even columns | b packed: `[H, W / 2, C]` |
    | mask `[C]` | the channels where it is True | b, for each position of a |
    | mask `[H, W, C]`, `[H, W, 1]` | the elements where it is True | the event, 0 in a, and the mask |

    Packed parts cost half of what masked images would, which is why only the last kind is masked: there the
    network's input is `[H, W, C + C]` or `[H, W, C + 1]`, in the last channels 1 where the event is given,
    and of its output what belongs to b is not used. A condition `[..., H, W, K]` is packed as a is.

    The network gives k = `transform.num_outputs` numbers for each element of a, all channels' first number
    first, as the halves of `AffineCoupling`. Keyword arguments reach it as there.

    #### References

    [1]: Laurent Dinh, Jascha Sohl-Dickstein and Samy Bengio. Density estimation using Real NVP.
         ICLR 2017. https://arxiv.org/abs/1605.08803 (sections 3.2 and 3.4)
    """

    def __init__(
        self,
        num_channels: int,
        network: _conditioner.Factory,
        transform: transforms.Transform,
        split: str | npt.ArrayLike = "channels",
        event_ndims: int = 3,
        swap: bool = False,
        dtype: tf.DType | npt.DTypeLike = tf.float32,
        validate_args: bool = False,
        name: str = "coupling",
        input_limit: float = 0.0,
    ):
        """Creates the bijector and its network.

        Args:
          num_channels: Positive `int`, C.
          network: Factory: `network(in_channels, out_channels)` returns a callable that maps
            `[N, ..., in_channels]` to `[N, ..., out_channels]`, best a `tf.Module` or a Keras 2 model whose
            variables exist already.
          transform: `Transform`: an `AffineTransform`, `ShiftTransform`, `SplineTransform`,
            `MixtureTransform`, or one's own.
          split: "channels", "checkerboard", "rows", "columns", or a boolean mask; see above.
          event_ndims: Positive `int`, rank of an event: 3 for images `[H, W, C]`, 1 for vectors.
          swap: Python `bool`: transform the other part.
          dtype: Floating dtype of inputs.
          validate_args: Python `bool`: check that inputs and what the network says are finite.
          name: Python `str`.
          input_limit: The network sees x_b clipped to [-input_limit, input_limit], in units of x; 0 for as
            it is. See `Glow`.

        Raises:
          UserError: If an argument is not of this kind; and, when called, if the input has other channels,
            the network's output another shape or dtype, or the bijector is not elementwise.
        """
        parameters = dict(locals())
        if not isinstance(transform, transforms.Transform):
            raise UserError(f"{name}: `transform` must be a Transform, got {transform!r}.")
        self._elementwise = transform
        super().__init__(
            num_channels,
            network,
            transform.num_outputs,
            event_ndims,
            swap,
            split,
            input_limit,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    @property
    def transform(self) -> transforms.Transform:
        """What makes bijectors of the network's output."""
        return self._elementwise

    @property
    def is_constant_log_det(self) -> bool:
        """Whether that of the transform is."""
        return self._elementwise.is_constant_log_det

    def _settings(self) -> Hashable | None:
        transform = self._elementwise
        if type(self) is not Coupling or type(transform) not in transforms.BUILT_IN:
            return None
        settings = (pair for pair in vars(transform).items() if isinstance(pair[1], _templates.PLAIN))
        return type(transform), tuple(sorted(settings))

    def _terms(self, b: tf.Tensor, conditions: Mapping[str, Any]) -> Any:
        raw = super()._terms(b, conditions)
        if self.validate_args:
            raw = arguments.ensure_finite(raw, "what the network says", self.name)
        count = self._elementwise.num_outputs
        by_output = tf.reshape(raw, [-1, count, raw.shape[-1] // count])
        return self._elementwise.of_outputs(by_output)

    def _transform(self, x_a: tf.Tensor, terms: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return self._elements(x_a, terms, True)

    def _restore(self, z_a: tf.Tensor, terms: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return self._elements(z_a, terms, False)

    def _elements(self, value: tf.Tensor, terms: Any, inverse: bool) -> tuple[tf.Tensor, tf.Tensor]:
        flat = tf.reshape(value, [-1, value.shape[-1]])  # TF's softmax takes five axes at most
        results = steps.step(terms, inverse, 0).apply(flat)
        if not results[0].shape.is_compatible_with(flat.shape):
            raise UserError(
                f"{self.name}: the bijector of `transform` must keep the shape of its input, "
                f"{tuple(flat.shape)}, got {tuple(results[0].shape)}."
            )
        result, log_scale = (
            tf.ensure_shape(tf.reshape(found + tf.zeros_like(flat), tf.shape(value)), value.shape)
            for found in results
        )
        return result, log_scale
