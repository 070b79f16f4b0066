"""Factoring out: part of the channels leaves the flow, the rest goes on (RealNVP 3.6, Glow)."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_flows.bijectors import _conditioner, _one_pass, _reversible, fused_chain
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
    first channels.

    #### References

    [1]: Laurent Dinh, Jascha Sohl-Dickstein and Samy Bengio. Density estimation using Real NVP.
         ICLR 2017. https://arxiv.org/abs/1605.08803 (section 3.6)
    [2]: Diederik P. Kingma and Prafulla Dhariwal. Glow: Generative Flow with Invertible 1x1
         Convolutions. NeurIPS 2018. https://arxiv.org/abs/1807.03039 (section 3)
    """

    _has_vjp = True

    def __init__(
        self,
        num_channels,
        network=None,
        rest=None,
        mode="affine",
        scale="sigmoid",
        num_leaving=None,
        event_ndims=3,
        dtype=tf.float32,
        validate_args=False,
        name="factor_out",
    ):
        """Creates the bijector and its network.

        Args:
          num_channels: Positive `int`, C.
          network: Factory, called as network(staying channels, outputs), where outputs are twice the
            leaving channels for "affine" and once for "shift"; not used by "none".
          rest: `tfb.Bijector` on the channels that stay, which keeps their shape; the identity if None.
          mode: "affine", "shift" or "none".
          scale: "sigmoid" or "exp", for mode "affine".
          num_leaving: Positive `int` below C; half of the channels if None.
          event_ndims: Positive `int`, rank of an event: 3 for images `[H, W, C]`, 1 for vectors.
          dtype: Floating dtype of inputs.
          validate_args: Python `bool`, as in every TFP bijector.
          name: Python `str`.

        Raises:
          ValueError: If an argument is not of this kind; and, when called, if the input has other
            channels or the network's output has another shape or dtype.
        """
        parameters = dict(locals())
        dtype = _one_pass.check_floating(dtype, name)
        self._num_channels = _one_pass.check_count(num_channels, "num_channels", name)
        if mode not in MODES:
            raise UserError(f"{name}: `mode` must be one of {MODES}, got {mode!r}.")
        self._mode = mode
        self._scale = _conditioner.check_scale(scale, name)
        self._event_ndims = _one_pass.check_count(event_ndims, "event_ndims", name)
        self._num_leaving = _check_leaving(num_leaving, self._num_channels, name)
        self._num_staying = self._num_channels - self._num_leaving
        self._rest = tfp.bijectors.Identity() if rest is None else rest
        self._network = None
        self._out_channels = self._num_leaving * (2 if mode == "affine" else 1)
        if mode != "none":
            self._network = _conditioner.build(network, self._num_staying, self._out_channels, name)
            parameters["network"] = _conditioner.reuse(self._network)  # a copy shares it
        super().__init__(
            forward_min_event_ndims=self._event_ndims,
            is_constant_jacobian=mode != "affine" and self._rest.is_constant_jacobian,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    @property
    def num_channels(self):
        """C, the size of the last axis."""
        return self._num_channels

    @property
    def num_leaving(self):
        """How many channels leave; they are the last ones."""
        return self._num_leaving

    @property
    def mode(self):
        """How the leaving channels are normalised: "affine", "shift" or "none"."""
        return self._mode

    @property
    def network(self):
        """The network that the factory made, or None for mode "none"."""
        return self._network

    @property
    def rest(self):
        """The bijector on the channels that stay."""
        return self._rest

    def split(self, x):
        """(channels that stay, channels that leave) of `x`, image or latent side."""
        _one_pass.check_channels(x, self._num_channels, self.name)
        return tf.split(x, [self._num_staying, self._num_leaving], axis=-1)

    def _inverse_with_log_det(self, x, **kwargs):
        x_s, x_l = self.split(x)
        conditioning, rest_kwargs = self._route(kwargs)
        z_l, log_det = self.normalize(x_l, x_s, **conditioning)
        z_s, rest_log_det = fused_chain.inverse_with_log_det(self._rest, x_s, self._event_ndims, rest_kwargs)
        return tf.concat([z_s, z_l], axis=-1), log_det + rest_log_det

    def _forward_with_log_det(self, z, **kwargs):
        z_s, z_l = self.split(z)
        conditioning, rest_kwargs = self._route(kwargs)
        x_s, rest_log_det = fused_chain.forward_with_log_det(self._rest, z_s, self._event_ndims, rest_kwargs)
        x_l, log_det = self._restore(z_l, self._terms(x_s, conditioning))
        return tf.concat([x_s, x_l], axis=-1), log_det + rest_log_det

    def normalize(self, x_leaving, x_staying, **conditioning):
        """The latent of the leaving channels, given those that stay, and its log-determinant."""
        return self._transform(x_leaving, self._terms(x_staying, conditioning))

    def _inverse_vjp(self, z, dz, dlog_det, sources, **kwargs):
        (z_s, z_l), (dz_s, dz_l) = self.split(z), self.split(dz)
        conditioning, rest_kwargs = self._route(kwargs)
        x_s, dx_s, others = fused_chain.inverse_vjp(
            self._rest, z_s, dz_s, dlog_det, self._event_ndims, sources, rest_kwargs
        )
        x_l, dx_l, found = self._leaving_vjp(
            self._transform, self._restore, z_l, dz_l, x_s, dlog_det, sources, conditioning
        )
        dx_s += found.pop(x_s.ref(), 0.0)
        _reversible.add(others, found)
        return tf.concat([x_s, x_l], axis=-1), tf.concat([dx_s, dx_l], axis=-1), others

    def _forward_vjp(self, x, dx, dlog_det, sources, **kwargs):
        (x_s, x_l), (dx_s, dx_l) = self.split(x), self.split(dx)
        conditioning, rest_kwargs = self._route(kwargs)
        z_l, dz_l, others = self._leaving_vjp(
            self._restore, self._transform, x_l, dx_l, x_s, dlog_det, sources, conditioning
        )
        dx_s += others.pop(x_s.ref(), 0.0)
        z_s, dz_s, found = fused_chain.forward_vjp(
            self._rest, x_s, dx_s, dlog_det, self._event_ndims, sources, rest_kwargs
        )
        _reversible.add(others, found)
        return tf.concat([z_s, z_l], axis=-1), tf.concat([dz_s, dz_l], axis=-1), others

    def _leaving_vjp(self, function, undo, y, dy, x_staying, dlog_det, sources, conditioning):
        """Of function(leaving channels, terms of those that stay), from its output y."""
        return _reversible.undo_and_differentiate(
            function,
            lambda y, terms: undo(y, terms)[0],
            y,
            dy,
            dlog_det,
            [x_staying, *sources],
            condition=lambda: self._terms(x_staying, conditioning),
        )

    def _transform(self, x_leaving, terms):
        """(z_l, log|det dz_l/dx_l|)."""
        scale, log_scale, shift = terms
        if scale is not None:
            return scale * x_leaving + shift, tf.reduce_sum(log_scale, axis=self._event_axes())
        log_det = tf.zeros([], x_leaving.dtype)
        return x_leaving if shift is None else x_leaving + shift, log_det

    def _restore(self, z_leaving, terms):
        """(x_l, log|det dx_l/dz_l|)."""
        scale, log_scale, shift = terms
        if scale is not None:
            return (z_leaving - shift) / scale, -tf.reduce_sum(log_scale, axis=self._event_axes())
        log_det = tf.zeros([], z_leaving.dtype)
        return z_leaving if shift is None else z_leaving - shift, log_det

    def _event_axes(self):
        return list(range(-self._event_ndims, 0))

    def _terms(self, x_staying, conditioning):
        """(scale, log scale, shift) given the channels that stay; None for what the mode lacks."""
        if self._mode == "none":
            return None, None, None
        raw = _conditioner.call(
            self._network,
            x_staying,
            self._out_channels,
            self._event_ndims,
            conditioning,
            self.name,
        )
        if self._mode == "shift":
            return None, None, raw
        return _conditioner.scale_and_shift(raw, self._scale)

    def _route(self, kwargs):
        """Splits keyword arguments: those under the name of `rest` go there, others to the network."""
        rest_kwargs = kwargs.get(self._rest.name, {})
        return {k: v for k, v in kwargs.items() if k != self._rest.name}, rest_kwargs


def _check_leaving(num_leaving, num_channels, name):
    if num_leaving is None:
        if num_channels % 2:
            raise UserError(
                f"{name}: `num_channels` must be even where `num_leaving` is not given, got {num_channels}."
            )
        return num_channels // 2
    num_leaving = _one_pass.check_count(num_leaving, "num_leaving", name)
    if num_leaving >= num_channels:
        raise UserError(
            f"{name}: `num_leaving` must be below num_channels={num_channels}, got {num_leaving}."
        )
    return num_leaving
