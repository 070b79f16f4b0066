"""Factoring out: part of the channels leaves the flow, the rest goes on (RealNVP 3.6, Glow)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_flows.bijectors import _conditioner, _members, _one_pass, _reversible, steps
from tfp_flows.bijectors._one_pass import Gradients, Pair
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError

MODES = ("affine", "shift", "none")


class FactorOut(_one_pass.OnePassBijector):
    """Normalises the channels that leave, given those that stay, and sends the latter through `rest`.

        inverse (image -> latent), x = [x_s, x_l] along the last axis:
            z_l = s(x_s) * x_l + t(x_s)      mode "affine"
            z_l = x_l + t(x_s)               mode "shift"
            z_l = x_l                        mode "none"
            z_s = rest.inverse(x_s),         z = [z_s, z_l]
        forward (latent -> image): the same backwards.
        log|det dz/dx| = sum log s(x_s) + log|det dz_s/dx_s|

    With a standard normal base, "affine" is the learned Gaussian p(z_l | x_s) of Glow's split, and
    with "shift" its mean alone is learned, so that the volume does not depend on x. The event keeps
    its shape `[..., C]`: the latents of all levels share one image-shaped tensor, the deepest in the
    first channels. Keyword arguments reach the network, as those of `AffineCoupling` do.

    #### References

    [1]: Laurent Dinh, Jascha Sohl-Dickstein and Samy Bengio. Density estimation using Real NVP.
         ICLR 2017. https://arxiv.org/abs/1605.08803 (section 3.6)
    [2]: Diederik P. Kingma and Prafulla Dhariwal. Glow: Generative Flow with Invertible 1x1
         Convolutions. NeurIPS 2018. https://arxiv.org/abs/1807.03039 (section 3)
    """

    def __init__(
        self,
        num_channels: int,
        network: _conditioner.Factory | None = None,
        rest: tfb.Bijector | None = None,
        mode: str = "affine",
        scale_form: str = "tanh",
        num_leaving: int | None = None,
        event_ndims: int = 3,
        dtype: tf.DType | npt.DTypeLike = tf.float32,
        validate_args: bool = False,
        name: str = "factor_out",
        scale: str | None = None,
        input_limit: float = 0.0,
    ):
        """Creates the bijector and its network.

        Args:
          num_channels: Positive `int`, C.
          network: Factory, called as network(staying channels, outputs), where outputs are twice the
            leaving channels for "affine" and once for "shift"; not used by "none".
          rest: `tfb.Bijector` on the channels that stay, which keeps their shape and has no batch of
            parameters; the identity if None.
          mode: "affine", "shift" or "none".
          scale_form: "tanh", "sigmoid" or "exp", for mode "affine"; see `AffineCoupling`.
          num_leaving: Positive `int` below C; if None half of the channels, C // 2.
          event_ndims: Positive `int`, rank of an event: 3 for images `[H, W, C]`, 1 for vectors.
          dtype: Floating dtype of inputs.
          validate_args: Python `bool`: check that inputs are finite and scales positive.
          name: Python `str`.
          scale: The old name of `scale_form`; it warns.
          input_limit: The network sees what stays clipped to [-input_limit, input_limit]; 0 for as it is.

        Raises:
          ValueError: If an argument is not of this kind; and, when called, if the input has other
            channels or the network's output has another shape or dtype.
        """
        parameters = dict(locals())
        dtype = arguments.check_floating(dtype, name)
        self._num_channels = arguments.check_count(num_channels, "num_channels", name)
        self._mode = arguments.check_one_of(mode, MODES, "mode", name)
        self._input_limit = _conditioner.input_limit(input_limit, name)
        self._scale_form = _conditioner.scale_form(scale_form, scale, name)
        parameters.update(scale_form=self._scale_form, scale=None)
        self._event_ndims = arguments.check_count(event_ndims, "event_ndims", name)
        self._num_leaving = _check_leaving(num_leaving, self._num_channels, name)
        self._num_staying = self._num_channels - self._num_leaving
        self._rest = tfb.Identity() if rest is None else rest
        _members.check_no_batch_of_parameters([self._rest], self._event_ndims, name)
        self._network: _conditioner.Network | None = None
        self._out_channels = self._num_leaving * (2 if mode == "affine" else 1)
        if mode != "none":
            self._network = _conditioner.build(network, self._num_staying, self._out_channels, name)
            parameters["network"] = _conditioner.Reuse(self._network)  # a copy shares it
        super().__init__(
            forward_min_event_ndims=self._event_ndims,
            is_constant_jacobian=mode == "none" and self._rest.is_constant_jacobian,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    @property
    def num_channels(self) -> int:
        """C, the size of the last axis."""
        return self._num_channels

    @property
    def num_leaving(self) -> int:
        """How many channels leave; they are the last ones."""
        return self._num_leaving

    @property
    def mode(self) -> str:
        """How the leaving channels are normalised: "affine", "shift" or "none"."""
        return self._mode

    @property
    def scale_form(self) -> str:
        """How the scale of mode "affine" follows from the network's output: see `AffineCoupling`."""
        return self._scale_form

    @property
    def input_limit(self) -> float:
        """The network sees what stays clipped to [-input_limit, input_limit]; 0: as it is."""
        return self._input_limit

    @property
    def scale(self) -> str:
        """The old name of `scale_form`; it warns."""
        _conditioner.warn_of_scale(self.name)
        return self._scale_form

    @property
    def network(self) -> _conditioner.Network | None:
        """The network that the factory made, or None for mode "none"."""
        return self._network

    @property
    def rest(self) -> tfb.Bijector:
        """The bijector on the channels that stay."""
        return self._rest

    @property
    def is_constant_log_det(self) -> bool:
        """Whether nothing is scaled by what depends on x, here or in `rest`."""
        return self._mode != "affine" and steps.is_constant_log_det(self._rest)

    def split(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(channels that stay, channels that leave) of `x`, image or latent side."""
        arguments.check_channels(x, self._num_channels, self.name)
        return tf.split(x, [self._num_staying, self._num_leaving], axis=-1)

    def normalize(self, x_leaving: tf.Tensor, x_staying: tf.Tensor, **conditions: Any) -> Pair:
        """The latent of the leaving channels, given those that stay, and its log-determinant."""
        return self._transform(x_leaving, self._terms(x_staying, conditions))

    def _inverse_with_log_det(self, x: tf.Tensor, **conditions: Any) -> Pair:
        x_s, x_l = self.split(x)
        own, rest = self._route(conditions, inverse=True)
        z_l, log_det = self.normalize(x_l, x_s, **own)
        z_s, rest_log_det = rest.apply(x_s)
        return tf.concat([z_s, z_l], axis=-1), log_det + rest_log_det

    def _inverse_by_position(self, x: tf.Tensor, **conditions: Any) -> Pair:
        x_s, x_l = self.split(x)
        own, rest = self._route(conditions, inverse=True)
        terms = self._terms(x_s, own)
        z_l = self._transform(x_l, terms)[0]
        z_s, below = rest.apply_by_position(x_s)
        here = tf.zeros([*x.shape[-3:-1], 1], x.dtype)
        if terms[1] is not None:
            here += tf.reduce_sum(terms[1], axis=-1, keepdims=True)
        levels = [here + tf.zeros_like(below[..., :1]), below + tf.zeros_like(here)]
        return tf.concat([z_s, z_l], axis=-1), tf.concat(levels, axis=-1)

    def _forward_with_log_det(self, z: tf.Tensor, **conditions: Any) -> Pair:
        z_s, z_l = self.split(z)
        own, rest = self._route(conditions, inverse=False)
        x_s, rest_log_det = rest.apply(z_s)
        x_l, log_det = self._restore(z_l, self._terms(x_s, own))
        return tf.concat([x_s, x_l], axis=-1), log_det + rest_log_det

    def _vjp(
        self,
        inverse: bool,
        result: tf.Tensor,
        gradient: tf.Tensor,
        dlog_det: tf.Tensor,
        sources: Sequence[tf.Tensor],
        **conditions: Any,
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """Undoes one direction and differentiates it; the network sees what stays, on the image side."""
        (staying, leaving), (ds, dl) = self.split(result), self.split(gradient)
        own, rest = self._route(conditions, inverse)
        others: Gradients = {}
        if inverse:
            staying, ds, others = rest.vjp(staying, ds, dlog_det, sources)
        function, undo = (self._transform, self._restore) if inverse else (self._restore, self._transform)
        image_staying = staying
        leaving, dl, found = _reversible.undo_and_differentiate(
            function,
            lambda result, terms: undo(result, terms)[0],
            leaving,
            dl,
            dlog_det,
            [image_staying, *sources],
            condition=lambda: self._terms(image_staying, own),
        )
        ds += found.pop(image_staying.ref(), 0.0)
        _reversible.add(others, found)
        if not inverse:
            staying, ds, found = rest.vjp(staying, ds, dlog_det, sources)
            _reversible.add(others, found)
        return tf.concat([staying, leaving], axis=-1), tf.concat([ds, dl], axis=-1), others

    def _transform(self, x_leaving: tf.Tensor, terms: Any) -> Pair:
        """(z_l, log|det dz_l/dx_l|)."""
        scale, log_scale, shift = terms
        if scale is not None:
            return scale * x_leaving + shift, tf.reduce_sum(log_scale, axis=self._event_axes())
        log_det = tf.zeros([], x_leaving.dtype)
        return x_leaving if shift is None else x_leaving + shift, log_det

    def _restore(self, z_leaving: tf.Tensor, terms: Any) -> Pair:
        """(x_l, log|det dx_l/dz_l|)."""
        scale, log_scale, shift = terms
        if scale is not None:
            return (z_leaving - shift) / scale, -tf.reduce_sum(log_scale, axis=self._event_axes())
        log_det = tf.zeros([], z_leaving.dtype)
        return z_leaving if shift is None else z_leaving - shift, log_det

    def _event_axes(self) -> list[int]:
        return list(range(-self._event_ndims, 0))

    def _terms(self, x_staying: tf.Tensor, conditions: Mapping[str, Any]) -> tuple:
        """(scale, log scale, shift) given the channels that stay; None for what the mode lacks."""
        if self._network is None:
            return None, None, None
        raw = _conditioner.call(
            self._network,
            _conditioner.limited(x_staying, self._input_limit),
            self._out_channels,
            self._event_ndims,
            conditions,
            self.name,
            self.validate_args,
            self._num_channels,
        )
        if self._mode == "shift":
            return None, None, raw
        return _conditioner.scale_and_shift(raw, self._scale_form, self.validate_args, self.name)

    def _route(self, conditions: Mapping[str, Any], inverse: bool) -> tuple[dict[str, Any], steps.Step]:
        """(what is the network's own, the step of `rest`, with the conditions under its name)."""
        own = {key: value for key, value in conditions.items() if key != self._rest.name}
        return own, steps.step(self._rest, inverse, self._event_ndims, conditions.get(self._rest.name))


def _check_leaving(num_leaving: int | None, num_channels: int, name: str) -> int:
    if num_leaving is None:
        if num_channels < 2:
            raise UserError(
                f"{name}: `num_channels` must be at least 2, since some channels leave and some stay, got "
                f"{num_channels}."
            )
        return num_channels // 2
    num_leaving = arguments.check_count(num_leaving, "num_leaving", name)
    if num_leaving >= num_channels:
        raise UserError(
            f"{name}: `num_leaving` must be below num_channels={num_channels}, got {num_leaving}."
        )
    return num_leaving
