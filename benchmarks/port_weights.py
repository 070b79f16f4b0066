"""The weights of another library's Glow, and how they become ours: for `benchmarks.ports`.

A Glow is read into `Level`s, in the order in which an image passes them. The libraries squeeze into channels
in the order (channel, row, column), ours into (row, column, channel): the first actnorm and 1x1 convolution
after a squeeze take the difference up.
"""

import dataclasses

import numpy as np
import scipy.linalg

NOISE = 0.03  # what a perturbation adds to every weight; with much more, latents grow without bounds


@dataclasses.dataclass(frozen=True)
class Step:
    """z = W exp(log_scale) (x + shift), and the coupling's convolutions: kernels `[h, w, in, out]`, biases.

    The last convolution returns [raw, t], as in `AffineCoupling`.
    """

    shift: np.ndarray
    log_scale: np.ndarray
    weight: np.ndarray
    convolutions: list[tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Level:
    """Its steps; the convolution of its factor-out; and mean and log-scale of the prior of its latents."""

    steps: list[Step]
    split: tuple[np.ndarray, np.ndarray] | None = None
    prior: tuple[np.ndarray, np.ndarray] | None = None


def assign(flow, levels):
    """Writes another library's weights into ours."""
    members = {member.name: member for member in flow.bijector.submodules}
    for number, level in enumerate(levels):
        for index, step in enumerate(level.steps):
            order = np.arange(len(step.shift))
            if index == 0:  # of ours, in theirs: (row, column, channel) -> (channel, row, column)
                order = order.reshape(2, 2, -1).transpose(2, 0, 1).ravel()
            _assign_step(members, f"level{number}_step{index}", step, order)
        if level.split is not None:
            network = members[f"level{number}_factor_out"].network
            _assign_named(network, dict(zip(("conv_kernel", "conv_bias"), level.split, strict=True)))
    priors = [level.prior for level in levels if level.prior is not None]
    variables = flow.distribution.trainable_variables
    for variable, values in zip(variables, zip(*priors, strict=True), strict=True):
        variable.assign(np.concatenate(values))


def _assign_step(members, name, step, order):
    norm = members[f"{name}_actnorm"]
    for variable, values in ((norm.shift, step.shift), (norm.log_scale, step.log_scale)):
        ours = np.empty_like(values)
        ours[order] = values
        variable.assign(ours)
    weight = np.empty_like(step.weight)
    weight[:, order] = step.weight
    permutation, lower, upper = scipy.linalg.lu(weight, p_indices=True)
    diagonal = np.diag(upper)
    given = members[f"{name}_conv1x1"].parameters
    given["permutation"].assign(permutation)
    given["lower_upper"].assign(np.tril(lower, -1) + np.triu(upper, 1))
    given["log_diagonal"].assign(np.log(abs(diagonal)))
    given["sign"].assign(np.sign(diagonal))
    named = {}
    for layer, (kernel, bias) in zip(("first", "second", "last"), step.convolutions, strict=True):
        named |= {f"{layer}_kernel": kernel, f"{layer}_bias": bias}
    _assign_named(members[f"{name}_coupling"].network, named)


def _assign_named(network, values):
    variables = {variable.name.split(":")[0]: variable for variable in network.trainable_variables}
    assert variables.keys() == values.keys(), sorted(variables)
    for name, value in values.items():
        variables[name].assign(np.reshape(value, variables[name].shape))
