"""Peers in PyTorch; needs neither TensorFlow nor this package."""

# ruff: noqa: D102  (`Peer` documents the methods its subclasses override.)

import normflows
import torch

from benchmarks.peers import LEARNING_RATE, Peer, level_shapes, make_batch, usable_cores


class Normflows(Peer):
    """The Glow of `normflows`, put together as in that package's own example.

    It has no factor-out network: each level's prior is a Gaussian with a trainable mean and scale
    per channel (`GlowBase`), which makes it a little less work than the others.
    """

    def __init__(self, size, channels_last=False):
        super().__init__(size)
        self._channels_last = channels_last

    def build(self):
        torch.set_num_threads(usable_cores())
        torch.manual_seed(0)
        self.model = self._make_model()
        self.images = torch.from_numpy(make_batch(self.size).transpose(0, 3, 1, 2)).contiguous()
        if self._channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        self.log_prob()  # The first batch sets the actnorms.
        self.optimizer = torch.optim.Adamax(self.model.parameters(), lr=LEARNING_RATE, foreach=True)

    def _make_model(self):
        size = self.size
        bases, merges, flows = [], [], []
        # normflows counts from the prior, so the deepest level comes first.
        for depth, (height, width, channels) in enumerate(reversed(level_shapes(size))):
            steps = [
                normflows.flows.GlowBlock(channels, size.hidden, scale=True, split_mode="channel")
                for _ in range(size.steps_per_level)
            ]
            flows.append([*steps, normflows.flows.Squeeze()])
            if depth == 0:
                bases.append(normflows.distributions.GlowBase((channels, height, width)))
            else:
                merges.append(normflows.flows.Merge())
                bases.append(normflows.distributions.GlowBase((channels // 2, height, width)))
        return normflows.MultiscaleFlow(bases, flows, merges, class_cond=False)

    def train_step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.model.forward_kld(self.images)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def log_prob(self):
        with torch.no_grad():
            return float(self.model.log_prob(self.images, None).mean())

    def sample(self):
        with torch.no_grad():
            images, _ = self.model.sample(self.size.batch)
            return float(images.mean())
