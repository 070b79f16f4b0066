"""The quick couplings: one part of an event is scaled and shifted given the other (NICE, RealNVP)."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from tfp_flows.bijectors import _conditioner, _coupling


class AffineCoupling(_coupling.SplitBijector):
    """Scales and shifts one half of the channels, given the other half.

        inverse (image -> latent):  z_a = s(x_b) * x_a + t(x_b),   z_b = x_b
        forward (latent -> image):  x_a = (z_a - t(z_b)) / s(z_b), x_b = z_b
        log|det dz/dx| = sum log s(x_b)

    The halves are x = [x_a, x_b] along the last axis, [x_b, x_a] with `swap`; of an odd number of channels
    the first half has one more. Other parts than halves of channels: `split`. The network returns
    [raw, t] along the last axis, and `scale_form` says what s is:

        "tanh"     s = exp(tanh(raw))       in [1/e, e]
        "sigmoid"  s = sigmoid(raw + 2)     in (0, 1); raw + 2 no lower than -80
        "exp"      s = exp(raw)             in (0, inf)

    The last two may be as small as they like, and the inverse divides by them: far from the data that of
    a deep flow overflows, even in float64. With "tanh" neither direction of a coupling stretches x_a, given
    x_b, by more than e [2]. What is left is how much t says of x_b: see `input_limit`.

    #### Example

    ```python
    network = functools.partial(tfp_flows.networks.ConvNetwork, hidden_channels=64)
    coupling = tfp_flows.bijectors.AffineCoupling(12, network)
    z = coupling.inverse(images)      # [B, H, W, 12]
    ```

    Keyword arguments reach the network: `coupling.inverse(x, condition=h)` calls
    `network(x_b, condition=h)`, and in a chain `chain.inverse(x, coupling_name={"condition": h})`.
    Tensors and arrays (and `condition`, if it is a list) are vectors `[..., K]` or maps `[..., H, W, K]`:
    the axes in front are those of the batch, are broadcast against it from the right, and anything else is
    refused. Arrays and lists are converted to the dtype of x. For a network without an attribute
    `condition_channels`, K, integer tensors and arrays are labels `[...]`. Everything else is passed on.

    #### References

    [1]: Laurent Dinh, Jascha Sohl-Dickstein and Samy Bengio. Density estimation using Real NVP.
         ICLR 2017. https://arxiv.org/abs/1605.08803 (equations 7 and 8)
    [2]: Jens Behrmann, Paul Vicol, Kuan-Chieh Wang, Roger Grosse and Jörn-Henrik Jacobsen. Understanding
         and Mitigating Exploding Inverses in Invertible Neural Networks. AISTATS 2021.
         https://arxiv.org/abs/2006.09347 (section 4)
    """

    def __init__(
        self,
        num_channels: int,
        network: _conditioner.Factory,
        scale_form: str = "tanh",
        event_ndims: int = 3,
        swap: bool = False,
        dtype: tf.DType | npt.DTypeLike = tf.float32,
        validate_args: bool = False,
        name: str = "affine_coupling",
        scale: str | None = None,
        split: str | npt.ArrayLike = "channels",
        input_limit: float = 0.0,
    ):
        """Creates the bijector and its network.

        Args:
          num_channels: Positive `int`, C.
          network: Factory: `network(in_channels, out_channels)`, of halves of channels (C // 2, C), returns
            a callable that maps `[N, ..., in_channels]` to `[N, ..., out_channels]`, best a `tf.Module` or
            a Keras 2 model whose variables exist already.
          scale_form: "tanh", "sigmoid" or "exp": how s follows from the network's output.
          event_ndims: Positive `int`, rank of an event: 3 for images `[H, W, C]`, 1 for vectors.
          swap: Python `bool`: transform the other part, of channels the second half.
          dtype: Floating dtype of inputs.
          validate_args: Python `bool`: check that inputs are finite and scales positive.
          name: Python `str`.
          scale: The old name of `scale_form`; it warns.
          split: "channels", "checkerboard", "rows", "columns", or a mask: see `Coupling`.
          input_limit: The network sees x_b clipped to [-input_limit, input_limit], in units of x; 0 for as
            it is. See `Glow`.

        Raises:
          ValueError: If an argument is not of this kind; and, when called, if the input has other
            channels or the network's output has another shape or dtype.
        """
        parameters = dict(locals())
        self._scale_form = _conditioner.scale_form(scale_form, scale, name)
        parameters.update(scale_form=self._scale_form, scale=None)
        super().__init__(
            num_channels,
            network,
            2,
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
    def scale_form(self) -> str:
        """How the scale follows from the network's output: "sigmoid", "exp" or "tanh"."""
        return self._scale_form

    @property
    def scale(self) -> str:
        """The old name of `scale_form`; it warns."""
        _conditioner.warn_of_scale(self.name)
        return self._scale_form

    def _settings(self) -> Hashable | None:
        return self._scale_form if type(self) is AffineCoupling else None

    def _terms(self, b: tf.Tensor, conditions: Mapping[str, Any]) -> _conditioner.ScaleAndShift:
        raw = super()._terms(b, conditions)
        return _conditioner.scale_and_shift(raw, self._scale_form, self.validate_args, self.name)

    def _transform(self, x_a: tf.Tensor, terms: Any) -> tuple[tf.Tensor, tf.Tensor | None]:
        scale, log_scale, shift = terms
        return scale * x_a + shift, log_scale

    def _restore(self, z_a: tf.Tensor, terms: Any) -> tuple[tf.Tensor, tf.Tensor | None]:
        scale, log_scale, shift = terms
        return (z_a - shift) / scale, -log_scale


class AdditiveCoupling(_coupling.SplitBijector):
    """Shifts one half of the channels, given the other half: volume preserving.

        inverse (image -> latent):  z_a = x_a + t(x_b),  z_b = x_b
        forward (latent -> image):  x_a = z_a - t(z_b),  x_b = z_b
        log|det dz/dx| = 0

    A flow whose couplings are all additive has a log-determinant that does not depend on x: the
    constant-volume (CV) Glow of Nalisnick et al., section 5.

    #### References

    [1]: Laurent Dinh, David Krueger and Yoshua Bengio. NICE: Non-linear Independent Components
         Estimation. ICLR 2015 workshop. https://arxiv.org/abs/1410.8516 (section 3.2)
    """

    def __init__(
        self,
        num_channels: int,
        network: _conditioner.Factory,
        event_ndims: int = 3,
        swap: bool = False,
        dtype: tf.DType | npt.DTypeLike = tf.float32,
        validate_args: bool = False,
        name: str = "additive_coupling",
        split: str | npt.ArrayLike = "channels",
        input_limit: float = 0.0,
    ):
        """Creates the bijector and its network.

        Args:
          num_channels: Positive `int`, C.
          network: Factory: `network(in_channels, out_channels)`, of halves of channels (C // 2, C // 2),
            returns a callable; see `AffineCoupling`.
          event_ndims: Positive `int`, rank of an event: 3 for images `[H, W, C]`, 1 for vectors.
          swap: Python `bool`: transform the other part, of channels the second half.
          dtype: Floating dtype of inputs.
          validate_args: Python `bool`: check that inputs are finite.
          name: Python `str`.
          split: "channels", "checkerboard", "rows", "columns", or a mask: see `Coupling`.
          input_limit: The network sees x_b clipped to [-input_limit, input_limit], in units of x; 0 for as
            it is. See `Glow`.

        Raises:
          ValueError: As `AffineCoupling`.
        """
        parameters = dict(locals())
        super().__init__(
            num_channels,
            network,
            1,
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
    def is_constant_log_det(self) -> bool:
        """True: it is 0. The Jacobian holds dt/dx_b, and is not constant."""
        return True

    def _settings(self) -> Hashable | None:
        return () if type(self) is AdditiveCoupling else None

    def _transform(self, x_a: tf.Tensor, terms: Any) -> tuple[tf.Tensor, tf.Tensor | None]:
        return x_a + terms, None

    def _restore(self, z_a: tf.Tensor, terms: Any) -> tuple[tf.Tensor, tf.Tensor | None]:
        return z_a - terms, None
