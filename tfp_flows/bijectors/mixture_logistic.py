"""The logit of a mixture of logistics' cumulative distribution, an elementwise bijector (Flow++)."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_probability import util as tfu

from tfp_flows.bijectors import _monotone, _one_pass
from tfp_flows.bijectors._one_pass import Pair
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError

Parameter: TypeAlias = tf.Tensor | tf.Variable | npt.ArrayLike
_RANKS = {"logits": 1, "locations": 1, "log_scales": 1, "log_scale": 0, "shift": 0}


class MixtureLogisticCDF(_one_pass.OnePassBijector):
    """What the cumulative distribution of a mixture of K logistics makes of x, on the logit's scale.

        F(x) = sum_i p_i sigmoid((x - m_i) / s_i),           p = softmax(logits),  s = exp(log_scales)
        g(x) = log F(x) - log(1 - F(x)) + c x                c = min_slope
        inverse (image -> latent):  z = exp(a) g(x) + b      a = log_scale,  b = shift
        forward (latent -> image):  x = g^-1((z - b) / exp(a))
        log dz/dx = a + log(F'(x) / (F(x) (1 - F(x))) + c)

    All sums are of logarithms, so neither end loses what 1 - F would round away: at x = 10^4 too, and with
    weights that vanish. `forward` has no closed form: a root between the least and the largest of those that
    each component alone would have, (s_i y + m_i) / (1 + c s_i) for y = (z - b) / exp(a), found by Newton's
    method and bisection until x moves by no more than the spacing of floats. Its gradients are those of the
    implicit function.

    Between components that are far apart F' vanishes, to exp(-d / 2s) for a gap d: z then hardly tells x.
    With c > 0 no slope is below c exp(a). Flow++ has c = 0.

    The event is a scalar; the parameters broadcast against x, K along their last axis.

    #### References

    [1]: Jonathan Ho, Xi Chen, Aravind Srinivas, Yan Duan and Pieter Abbeel. Flow++: Improving Flow-Based
         Generative Models with Variational Dequantization and Architecture Design. ICML 2019.
         https://arxiv.org/abs/1902.00275 (section 3.2)
    """

    _COMPONENTS = -1  # their axis in logits, locations and log_scales

    def __init__(
        self,
        logits: Parameter,
        locations: Parameter,
        log_scales: Parameter,
        log_scale: Parameter = 0.0,
        shift: Parameter = 0.0,
        min_slope: float = 0.0,
        dtype: tf.DType | npt.DTypeLike = tf.float32,
        validate_args: bool = False,
        name: str = "mixture_logistic_cdf",
    ):
        """Creates the bijector.

        Args:
          logits: Variable, tensor or array `[..., K]`: the logarithms of the weights, up to a constant.
          locations: The same of m.
          log_scales: The same of log s.
          log_scale: Variable, tensor, array or `float` `[...]`: a.
          shift: The same of b.
          min_slope: Python `float` of at least 0: c.
          dtype: Floating dtype of parameters that are arrays, and of inputs.
          validate_args: Python `bool`: check that inputs and parameters are finite.
          name: Python `str`.

        Raises:
          UserError: If `dtype` is not floating, `min_slope` is negative, or K differs.
        """
        parameters = dict(locals())
        dtype = arguments.check_floating(dtype, name)
        if not 0 <= min_slope < np.inf:
            raise UserError(f"{name}: `min_slope` must be finite and not negative, got {min_slope!r}.")
        self._min_slope = float(min_slope)
        given = {key: _converted(parameters[key], dtype) for key in _RANKS}
        self._logits, self._locations, self._log_scales = (given[key] for key in list(_RANKS)[:3])
        self._log_scale, self._shift = given["log_scale"], given["shift"]
        axis = self._COMPONENTS
        sizes = {given[key].shape[axis] if given[key].shape.rank else 0 for key in list(_RANKS)[:3]} - {None}
        if len(sizes) > 1 or 0 in sizes:
            shapes = ", ".join(f"{key} {tuple(given[key].shape)}" for key in list(_RANKS)[:3])
            raise UserError(
                f"{name}: `logits`, `locations` and `log_scales` must have one number for each component "
                f"along their last axis, got {shapes}."
            )
        parameters.update(given)  # a copy shares them
        super().__init__(
            forward_min_event_ndims=0,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    @property
    def min_slope(self) -> float:
        """c: no slope is below c exp(a)."""
        return self._min_slope

    @classmethod
    def _parameter_properties(cls, dtype: tf.DType | None) -> dict[str, tfu.ParameterProperties]:
        del dtype
        return {name: tfu.ParameterProperties(event_ndims=rank) for name, rank in _RANKS.items()}

    def _parameter_checks(self) -> Iterator[tuple[tf.Tensor | tf.Variable, tf.Tensor, str]]:
        for name in _RANKS:
            value = getattr(self, f"_{name}")
            yield value, tf.reduce_all(tf.math.is_finite(value)), f"`{name}` must be finite."

    def _inverse_with_log_det(self, x: tf.Tensor) -> Pair:  # type: ignore[override]
        value, log_slope = self._logit(x, *self._mixture(x.shape.rank))
        a, b = tf.convert_to_tensor(self._log_scale), tf.convert_to_tensor(self._shift)
        return tf.exp(a) * value + b, log_slope + a

    def _forward_with_log_det(self, z: tf.Tensor) -> Pair:  # type: ignore[override]
        a, b = tf.convert_to_tensor(self._log_scale), tf.convert_to_tensor(self._shift)
        target = (z - b) * tf.exp(-a)
        mixture = log_weights, locations, log_scales = self._mixture(target.shape.rank)
        scales = tf.exp(log_scales)
        alone = (scales * target + locations) / (1.0 + self._min_slope * scales)
        low, high = tf.reduce_min(alone, axis=0), tf.reduce_max(alone, axis=0)
        shape = tf.broadcast_dynamic_shape(tf.shape(low), tf.shape(log_weights)[1:])
        static = tf.broadcast_static_shape(low.shape, log_weights.shape[1:])
        low, high, target = (
            tf.ensure_shape(tf.broadcast_to(value, shape), static) for value in (low, high, target)
        )
        x = _monotone.root(self._logit, target, low, high, mixture)
        return x, -self._logit(x, *mixture)[1] - a

    def _mixture(self, rank: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(log p, m, log s), each `[K, ...]`: sums over the first axis are several times as quick.

        Behind the first axis there are `rank` others, or more.
        """
        logits, locations, log_scales = (
            _components_first(tf.convert_to_tensor(value), self._COMPONENTS, rank)
            for value in (self._logits, self._locations, self._log_scales)
        )
        return logits - tf.reduce_logsumexp(logits, axis=0), locations, log_scales

    def _logit(
        self, x: tf.Tensor, log_weights: tf.Tensor, locations: tf.Tensor, log_scales: tf.Tensor
    ) -> Pair:
        """(g(x), log g'(x))."""
        u = (x - locations) * tf.exp(-log_scales)
        log_above = -tf.nn.softplus(u)  # log(1 - sigmoid(u))
        log_below = u + log_above
        log_f, log_1_f, log_density = (
            tf.reduce_logsumexp(log_weights + term, axis=0)
            for term in (log_below, log_above, log_below + log_above - log_scales)
        )
        value, log_slope = log_f - log_1_f, log_density - log_f - log_1_f
        if self._min_slope:
            floor = tf.constant(np.log(self._min_slope), x.dtype)
            value, log_slope = value + self._min_slope * x, _log_add(log_slope, floor)
        return value, log_slope


class ComponentsFirst(MixtureLogisticCDF):
    """As `MixtureLogisticCDF`, of logits, locations and log-scales `[K, ...]`, which stay as they are."""

    _COMPONENTS = 0

    def experimental_batch_shape(self, *args: Any, **kwargs: Any) -> tf.TensorShape:
        """That of the parameters behind their first axis, which TFP cannot know of."""
        return self._components_last().experimental_batch_shape(*args, **kwargs)

    def experimental_batch_shape_tensor(self, *args: Any, **kwargs: Any) -> tf.Tensor:
        """As `experimental_batch_shape`, known in a graph."""
        return self._components_last().experimental_batch_shape_tensor(*args, **kwargs)

    def _components_last(self) -> MixtureLogisticCDF:
        """The same bijector as TFP sees parameters: K along their last axis."""
        given = {key: getattr(self, f"_{key}") for key in _RANKS}
        for key in list(_RANKS)[:3]:
            given[key] = tf.transpose(given[key], [*range(1, given[key].shape.rank), 0])
        return MixtureLogisticCDF(**given, dtype=self.dtype)


def _components_first(value: tf.Tensor, axis: int, rank: int) -> tf.Tensor:
    """`value` with K as its first axis, and at least `rank` axes behind it."""
    if axis == -1 and value.shape.rank > 1:
        value = tf.transpose(value, [value.shape.rank - 1, *range(value.shape.rank - 1)])
    for _ in range(rank + 1 - value.shape.rank):
        value = tf.expand_dims(value, 1)
    return value


def _log_add(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """log(exp(one) + exp(other))."""
    return other + tf.nn.softplus(one - other)


def _converted(value: Any, dtype: tf.DType) -> tf.Tensor | tf.Variable:
    return value if isinstance(value, tf.Variable) else tf.convert_to_tensor(value, dtype)
