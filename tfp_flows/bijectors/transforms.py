"""What a coupling does to each element, given what its network says: `Transform`, and some that are ready.

They are affine maps, shifts, rational-quadratic splines and mixtures of logistics, and any of one's own.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flows.bijectors import _conditioner, _one_pass, mixture_logistic
from tfp_flows.bijectors._one_pass import Pair
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError


class Transform(tf.Module):
    """An elementwise bijector for each element, made of `num_outputs` numbers that a network says of it.

    #### Example

    ```python
    def sinh_arcsinh(raw):                  # raw: [N, n, 2], for n elements at each of N positions
        return tfb.SinhArcsinh(raw[..., 0], tf.exp(tf.tanh(raw[..., 1])))

    transform = tfp_flows.bijectors.Transform(2, sinh_arcsinh)
    coupling = tfp_flows.bijectors.Coupling(6, network, transform)
    ```

    The bijector's `inverse` is what an image's element goes through on its way to the latent, `forward` the
    way back, as with all bijectors here. Networks start at zero, `raw` then is 0 everywhere, and a bijector
    that is nearly the identity at 0 is easy to train.
    """

    def __init__(
        self,
        num_outputs: int,
        bijector: Callable[[tf.Tensor], tfb.Bijector],
        is_constant_log_det: bool = False,
        name: str = "transform",
    ) -> None:
        """Creates the transform.

        Args:
          num_outputs: Positive `int`, k: how many numbers the network gives for each element.
          bijector: Callable: floating tensor `[N, n, k]` -> `tfb.Bijector` that maps `[N, n]` element by
            element; N counts the positions of all images of a batch, or its vectors.
          is_constant_log_det: Python `bool`: whether its log-determinant depends on neither x nor `raw`.
          name: Python `str`.

        Raises:
          UserError: If `num_outputs` is not a positive integer, or `bijector` is not callable.
        """
        super().__init__(name=name)
        self._num_outputs = arguments.check_count(num_outputs, "num_outputs", name)
        self._is_constant_log_det = bool(is_constant_log_det)
        if not callable(bijector):
            raise UserError(f"{name}: `bijector` must be a callable that makes one, got {bijector!r}.")
        self._bijector = bijector

    @property
    def num_outputs(self) -> int:
        """k, how many numbers the network gives for each element."""
        return self._num_outputs

    @property
    def is_constant_log_det(self) -> bool:
        """Whether the log-determinant depends on neither x nor the network."""
        return self._is_constant_log_det

    def bijector(self, raw: tf.Tensor) -> tfb.Bijector:
        """The bijector of elements `[..., n]`, of what the network says of them, `raw`: `[..., n, k]`.

        Raises:
          UserError: If what was made is no elementwise bijector.
        """
        return self._checked(self._bijector(raw))

    def of_outputs(self, outputs: tf.Tensor) -> tfb.Bijector:
        """As `bijector`, of what a network returns: `[N, k, n]`."""
        return self.bijector(tf.linalg.matrix_transpose(outputs))

    def _checked(self, made: object) -> tfb.Bijector:
        if not isinstance(made, tfb.Bijector):
            raise UserError(
                f"{self.name}: `bijector` must make a tfb.Bijector, got one {type(made).__name__}."
            )
        if made.forward_min_event_ndims != 0 or made.inverse_min_event_ndims != 0:
            raise UserError(
                f"{self.name}: `bijector` must make an elementwise bijector, but {made.name} takes events "
                f"of rank {made.inverse_min_event_ndims}."
            )
        return made


class ShiftTransform(Transform):
    """z = x + t: what `AdditiveCoupling` does."""

    def __init__(self, name: str = "shift_transform") -> None:
        """Creates the transform."""
        super().__init__(1, lambda raw: tfb.Shift(-raw[..., 0]), is_constant_log_det=True, name=name)


class AffineTransform(Transform):
    """z = s x + t: what `AffineCoupling` does, and does quicker."""

    def __init__(self, scale_form: str = "tanh", name: str = "affine_transform") -> None:
        """Creates the transform; `scale_form` is as in `AffineCoupling`."""
        self._scale_form = _conditioner.scale_form(scale_form, None, name)
        super().__init__(2, self._made, name=name)

    def _made(self, raw: tf.Tensor) -> tfb.Bijector:
        scale, _, shift = _conditioner.scale_and_shift(raw, self._scale_form, False, self.name)
        return tfb.Invert(tfb.Chain([tfb.Shift(shift[..., 0]), tfb.Scale(scale[..., 0])]))


class SplineTransform(Transform):
    """A monotone rational-quadratic spline from [-B, B] to itself, and the identity outside.

    It is `tfb.RationalQuadraticSpline`, whose `forward` is the way to the latent, kept from what lies
    outside: there TFP's gradients may be NaN. Of the K bins' widths and heights none is below
    `min_bin_size`, and no slope at a knot below `min_slope`. At raw = 0 it is the identity.

    #### References

    [1]: Conor Durkan, Artur Bekasov, Iain Murray and George Papamakarios. Neural Spline Flows. NeurIPS
         2019. https://arxiv.org/abs/1906.04032
    """

    def __init__(
        self,
        num_bins: int = 8,
        bound: float = 4.0,
        min_bin_size: float = 1e-2,
        min_slope: float = 1e-2,
        name: str = "spline_transform",
    ) -> None:
        """Creates the transform.

        Args:
          num_bins: Positive `int` of at least 2, K; the network gives 3 K - 1 numbers for each element.
          bound: Positive `float`, B.
          min_bin_size: Positive `float` below 2 B / K.
          min_slope: Positive `float` below 1.
          name: Python `str`.

        Raises:
          UserError: If an argument is not of this kind.
        """
        num_bins = arguments.check_count(num_bins, "num_bins", name)
        if num_bins < 2:
            raise UserError(f"{name}: `num_bins` must be at least 2, got {num_bins}.")
        if not 0 < bound < np.inf:
            raise UserError(f"{name}: `bound` must be positive and finite, got {bound!r}.")
        if not 0 < min_bin_size < 2 * bound / num_bins:
            raise UserError(
                f"{name}: `min_bin_size` must be between 0 and 2 * bound / num_bins, "
                f"{2 * bound / num_bins:.3g}, got {min_bin_size!r}."
            )
        if not 0 < min_slope < 1:
            raise UserError(f"{name}: `min_slope` must be between 0 and 1, got {min_slope!r}.")
        self._num_bins, self._bound = num_bins, float(bound)
        self._min_bin_size, self._min_slope = float(min_bin_size), float(min_slope)
        super().__init__(3 * num_bins - 1, self._made, name=name)

    def _made(self, raw: tf.Tensor) -> tfb.Bijector:
        widths, heights, slopes = tf.split(raw, [self._num_bins, self._num_bins, -1], axis=-1)
        one = float(np.log(np.expm1(1.0 - self._min_slope)))  # softplus(one) + min_slope = 1
        spline = tfb.RationalQuadraticSpline(
            self._sizes(widths),
            self._sizes(heights),
            self._min_slope + tf.nn.softplus(slopes + one),
            range_min=-self._bound,
        )
        return _WithinBounds(spline, self._bound, raw.dtype)

    def _sizes(self, raw: tf.Tensor) -> tf.Tensor:
        """Positive sizes of bins that sum to 2 B."""
        free = 2 * self._bound - self._num_bins * self._min_bin_size
        return self._min_bin_size + free * tf.nn.softmax(raw, axis=-1)


class MixtureTransform(Transform):
    """The logit of a mixture of K logistics' cumulative distribution, then an affine map: Flow++'s coupling.

        z = exp(a) (logit sum_i p_i sigmoid((x - m_i) / s_i) + c x) + b

    See `MixtureLogisticCDF`. So that both directions stay within what floats can tell, log s_i =
    3 tanh(raw / 3) is in [-3, 3], a = tanh(raw) in [-1, 1], and c = `min_slope` keeps the slope from
    vanishing between components far apart. At raw = 0 the means are spread over [-1, 1]: components all
    alike would never part.

    #### References

    [1]: Jonathan Ho, Xi Chen, Aravind Srinivas, Yan Duan and Pieter Abbeel. Flow++: Improving Flow-Based
         Generative Models with Variational Dequantization and Architecture Design. ICML 2019.
         https://arxiv.org/abs/1902.00275 (section 3.2)
    """

    def __init__(
        self, num_components: int = 8, min_slope: float = 0.05, name: str = "mixture_transform"
    ) -> None:
        """Creates the transform.

        Args:
          num_components: Positive `int`, K; the network gives 3 K + 2 numbers for each element.
          min_slope: `float` of at least 0, c.
          name: Python `str`.

        Raises:
          UserError: If an argument is not of this kind.
        """
        self._num_components = arguments.check_count(num_components, "num_components", name)
        if not 0 <= min_slope < np.inf:
            raise UserError(f"{name}: `min_slope` must be finite and not negative, got {min_slope!r}.")
        self._min_slope = float(min_slope)
        super().__init__(3 * self._num_components + 2, self._made, name=name)

    def of_outputs(self, outputs: tf.Tensor) -> tfb.Bijector:
        """`Transform.of_outputs`."""
        return self._of_components_first(tf.transpose(outputs, [1, 0, 2]))

    def _made(self, raw: tf.Tensor) -> tfb.Bijector:
        rank = raw.shape.rank
        return self._of_components_first(tf.transpose(raw, [rank - 1, *range(rank - 1)]))

    def _of_components_first(self, raw: tf.Tensor) -> tfb.Bijector:
        """Of `[k, ...]`."""
        count = self._num_components
        logits, locations, scales, affine = tf.split(raw, [count, count, count, 2], axis=0)
        spread = np.linspace(-1.0, 1.0, count) if count > 1 else np.zeros([1])
        spread = spread.reshape([count, *([1] * (raw.shape.rank - 1))])
        return mixture_logistic.ComponentsFirst(
            logits,
            locations + tf.constant(spread, raw.dtype),
            3.0 * tf.tanh(scales / 3.0),
            log_scale=tf.tanh(affine[0]),
            shift=affine[1],
            min_slope=self._min_slope,
            dtype=raw.dtype,
        )


class _WithinBounds(_one_pass.OnePassBijector):
    """`spline.forward` of what is within the bounds, the identity elsewhere: image -> latent."""

    def __init__(self, spline: tfb.Bijector, bound: float, dtype: tf.DType) -> None:
        self._spline, self._bound = spline, bound
        parameters = {"spline": spline, "bound": bound, "dtype": dtype}
        super().__init__(forward_min_event_ndims=0, dtype=dtype, parameters=parameters, name="within_bounds")

    def _inverse_with_log_det(self, x: tf.Tensor) -> Pair:  # type: ignore[override]
        return self._guarded(x, self._spline.forward, self._spline.forward_log_det_jacobian)

    def _forward_with_log_det(self, z: tf.Tensor) -> Pair:  # type: ignore[override]
        return self._guarded(z, self._spline.inverse, self._spline.inverse_log_det_jacobian)

    def _guarded(self, value: tf.Tensor, function: Callable, log_det: Callable) -> Pair:
        inside = tf.abs(value) < self._bound
        within = tf.where(inside, value, tf.zeros_like(value))
        result = tf.where(inside, function(within), value)
        return result, tf.where(inside, log_det(tf.identity(within)), tf.zeros_like(value))


# Those that differ from another one of their class in nothing but plain attributes.
BUILT_IN = (ShiftTransform, AffineTransform, SplineTransform, MixtureTransform)
