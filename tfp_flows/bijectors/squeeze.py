"""Space to depth: trades resolution for channels (RealNVP, section 3.6)."""

from collections.abc import Callable

import tensorflow as tf

from tfp_flows.bijectors import _one_pass
from tfp_flows.bijectors._one_pass import Pair
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError


class Squeeze(_one_pass.OnePassBijector):
    """Moves each `block_size x block_size` block of pixels into the channels of one pixel.

        inverse (image -> latent):  [..., H, W, C] -> [..., H/b, W/b, b*b*C]
        forward (latent -> image):  [..., H/b, W/b, b*b*C] -> [..., H, W, C]
        log|det dz/dx| = 0

    The order of the new channels is that of `tf.nn.space_to_depth`: (row, column, channel). Any batch
    rank; any dtype.

    #### References

    [1]: Laurent Dinh, Jascha Sohl-Dickstein and Samy Bengio. Density estimation using Real NVP.
         ICLR 2017. https://arxiv.org/abs/1605.08803 (section 3.6)
    """

    def __init__(self, block_size: int = 2, validate_args: bool = False, name: str = "squeeze"):
        """Creates the bijector.

        Args:
          block_size: Positive `int`, b.
          validate_args: Python `bool`: check that inputs are finite.
          name: Python `str`.

        Raises:
          ValueError: If `block_size` is not a positive integer.
        """
        parameters = dict(locals())
        self._block_size = arguments.check_count(block_size, "block_size", name)
        super().__init__(
            forward_min_event_ndims=3,
            is_constant_jacobian=True,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    @property
    def block_size(self) -> int:
        """b, the side of a block in pixels."""
        return self._block_size

    @property
    def _is_permutation(self) -> bool:
        return True

    def _inverse_with_log_det(self, x: tf.Tensor) -> Pair:  # type: ignore[override]
        self._squeezed_shape(x.shape[-3:])
        value = _over_flat_batch(tf.nn.space_to_depth, x, self._block_size)
        return value, tf.zeros([], x.dtype)

    def _forward_with_log_det(self, z: tf.Tensor) -> Pair:  # type: ignore[override]
        self._expanded_shape(z.shape[-3:])
        value = _over_flat_batch(tf.nn.depth_to_space, z, self._block_size)
        return value, tf.zeros([], z.dtype)

    def _squeezed_shape(self, shape: tf.TensorShape) -> list[int | None]:
        height, width, channels = shape
        b = self._block_size
        for size, axis in ((height, "height"), (width, "width")):
            if size is not None and size % b:
                raise UserError(
                    f"{self.name}: the {axis} of the image must be a multiple of block_size={b}, "
                    f"got an image of shape {tuple(shape)}."
                )
        return [
            None if height is None else height // b,
            None if width is None else width // b,
            None if channels is None else channels * b * b,
        ]

    def _expanded_shape(self, shape: tf.TensorShape) -> list[int | None]:
        height, width, channels = shape
        b = self._block_size
        if channels is not None and channels % (b * b):
            raise UserError(
                f"{self.name}: the channels of the latent must be a multiple of "
                f"block_size**2={b * b}, got a latent of shape {tuple(shape)}."
            )
        return [
            None if height is None else height * b,
            None if width is None else width * b,
            None if channels is None else channels // (b * b),
        ]

    def _inverse_event_shape(self, output_shape: tf.TensorShape) -> tf.TensorShape:
        return output_shape[:-3].concatenate(self._squeezed_shape(output_shape[-3:]))

    def _forward_event_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return input_shape[:-3].concatenate(self._expanded_shape(input_shape[-3:]))

    def _inverse_event_shape_tensor(self, output_shape: tf.Tensor) -> tf.Tensor:
        b = self._block_size
        output_shape = tf.convert_to_tensor(output_shape)
        return tf.concat([output_shape[:-3], output_shape[-3:] * [1, 1, b**4] // [b, b, b * b]], 0)

    def _forward_event_shape_tensor(self, input_shape: tf.Tensor) -> tf.Tensor:
        b = self._block_size
        input_shape = tf.convert_to_tensor(input_shape)
        return tf.concat([input_shape[:-3], input_shape[-3:] * [b, b, 1] // [1, 1, b * b]], 0)


def _over_flat_batch(
    function: Callable[[tf.Tensor, int], tf.Tensor], x: tf.Tensor, block_size: int
) -> tf.Tensor:
    """Applies an image function of batches `[N, H, W, C]` to `x` of any batch rank."""
    if block_size == 1:
        return tf.identity(x)
    if x.shape.rank == 4:
        return function(x, block_size)
    flat = function(tf.reshape(x, tf.concat([[-1], tf.shape(x)[-3:]], 0)), block_size)
    value = tf.reshape(flat, tf.concat([tf.shape(x)[:-3], tf.shape(flat)[1:]], 0))
    return tf.ensure_shape(value, x.shape[:-3].concatenate(flat.shape[1:]))
