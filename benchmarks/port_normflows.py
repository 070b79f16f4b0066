"""The multiscale Glow of `normflows` (PyTorch), read for `benchmarks.ports`."""

import normflows
import numpy as np
import torch

from benchmarks import port_weights


def perturbed(size, images):
    """(log-probabilities, levels) of a perturbed `MultiscaleFlow`, put together as in its examples."""
    torch.manual_seed(0)
    model = _model(size).double()
    images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        model.log_prob(images, None)  # sets the actnorms
        for parameter in model.parameters():
            parameter += port_weights.NOISE * torch.randn_like(parameter)
        log_prob = model.log_prob(images, None).numpy()
        levels = [_level(flows, base) for flows, base in zip(model.flows, model.q0, strict=True)]
    return log_prob, levels[::-1]  # normflows counts from the latent


def _model(size):
    height, width, channels = size.image_shape
    bases, merges, flows = [], [], []
    for level in reversed(range(size.levels)):
        inner = channels << (level + 2)  # the channels of this level's steps
        steps = [normflows.flows.GlowBlock(inner, size.hidden_channels) for _ in range(size.steps_per_level)]
        flows.append([*steps, normflows.flows.Squeeze()])
        own = inner if level == size.levels - 1 else inner // 2
        bases.append(normflows.distributions.GlowBase((own, height >> (level + 1), width >> (level + 1))))
        if level < size.levels - 1:
            merges.append(normflows.flows.Merge())
    return normflows.MultiscaleFlow(bases, flows, merges, class_cond=False)


def _level(flows, base):
    factor = base.logscale_factor
    mean = base.loc * torch.exp(factor * base.loc_logs)
    log_scale = base.log_scale * torch.exp(factor * base.log_scale_logs)
    steps = [_step(block) for block in list(flows)[-2::-1]]
    return port_weights.Level(steps, prior=(mean.numpy().ravel(), log_scale.numpy().ravel()))


def _step(block):
    coupling, conv, norm = block.flows
    convolutions = [
        (layer.weight.numpy().transpose(2, 3, 1, 0), layer.bias.numpy())
        for layer in coupling.flows[1].param_map.net
        if isinstance(layer, torch.nn.Conv2d)
    ]
    # Its outputs alternate: t, raw, t, raw, ...; and z = s (x - t).
    last = [np.concatenate([values[..., 1::2], -values[..., 0::2]], axis=-1) for values in convolutions[-1]]
    return port_weights.Step(
        shift=-norm.t.numpy().ravel(),
        log_scale=-norm.s.numpy().ravel(),
        weight=conv._assemble_W().numpy(),
        convolutions=[*convolutions[:-1], tuple(last)],
    )
