"""The signal in the noise: is the latent of one image a draw of the prior?"""

import numpy as np
import tensorflow as tf

from tfp_flows import bijectors
from tfp_flows.detectors import goodness_of_fit, models, tails
from tfp_flows.detectors.detector import Detector
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.detectors.names import check_choice
from tfp_flows.distributions import draw_of
from tfp_flows.distributions.protocols import FlowModel

NUM_OF_PAPER, NUM_ONE_SIDED = 2, 4  # the first statistics


class SITN(Detector):
    """score(x) = max_s -ln p_s(x),    p_s the fraction of in-distribution images whose T_s is as large.

    z, standardised by the prior, should be d independent standard normals. Of images that a flow was not
    trained for it is not, in ways that its density does not see. The two tests of the paper:

        T_1 = A^2, Anderson and Darling's statistic of the coordinates against a normal of their own mean and
              variance: are they normal?
        T_2 = std_k |FFT(z)_k|^2 / mean_k |FFT(z)_k|^2: are they independent, so that their spectrum is flat?

    Neither depends on the length of z, which is all that log p(z) depends on. In-distribution images (those
    given to `fit`) say how large T_s gets, since trained latents are not exactly normal. The order of images
    is that of the largest of the paper's quantiles 1 - p_s, but for the upper tenth, where p_s is that of a
    smooth tail without an end (see `tails`).

    `tests="all"` adds four, which are ours, two-sided where a small value is as rare: correlation of
    neighbours (`goodness_of_fit.autocorrelation`), the means of channels, kurtosis, and the power of z
    at each level of a Glow.

    Of several draws of the noise the first is used. The latent of an image is that of the whole image: there
    is no map of pixels.

    Of the paper's text only the abstract was at hand; statistics and quantiles are those of the authors'
    published code (github.com/bomatter/signal-in-the-noise-paper), checked against SciPy. Its flow is a
    continuous one (flow matching); published AUROC: CIFAR-10/SVHN 0.946, CIFAR-10/CelebA 0.671.

    Ours, a discrete flow (Glow on FashionMNIST after 7,000 steps), AUROC of 500 images a set, "paper" and
    "all": MNIST 0.48 and 0.66, half contrast 0.99 and 0.99, constants 1.00 and 1.00, noise 0.97 and 1.00;
    mean of 27 foreign sets 0.80 and 0.85 (density of states: 0.82). A Glow's latents of digits are as normal
    as those of its own images.

    #### References

    [1]: Philipp Bomatter, Jack Geary and Henry Gouk. The signal in the noise: OOD detection through
         goodness-of-fit testing in factorised latent spaces. 2026. https://arxiv.org/abs/2605.22496
    """

    name = "sitn"
    takes_vectors = False
    settings_of_statistics = ()  # all are computed; the formula takes those that count
    log_prob_first = False
    exportable = True

    def __init__(self, model: FlowModel, tests: str = "paper", batch_size: int = 256):
        """Takes a flow over dequantised images and which tests count, "paper" or "all".

        Raises:
          DetectorError: If the model is no flow, its prior has no coordinates to be standardised, or there
            are no such tests.
        """
        models.need_any_flow(model, self.name)
        check_choice(self.name, "tests", tests)
        super().__init__([model], {"tests": tests}, batch_size)

    def _graph_statistics(self, images: tf.Tensor) -> tf.Tensor:
        z = self._latents(images)
        levels, channels = _groups(models.need_flow(self.models[0], self.name))
        first = [
            goodness_of_fit.anderson_darling(z),
            goodness_of_fit.spectrum_variation(z),
            goodness_of_fit.autocorrelation(z),
            goodness_of_fit.group_means(z, channels),
            goodness_of_fit.excess_kurtosis(z),
        ]
        return tf.concat([tf.stack(first, axis=-1), goodness_of_fit.group_powers(z, levels)], axis=-1)

    def _latents(self, images: tf.Tensor) -> tf.Tensor:
        """The latents of images, standardised by the prior: float64 `[B, H, W, C]`."""
        model = models.need_flow(self.models[0], self.name)
        y = draw_of(model, images, model.evaluation_noise()[0]).y
        try:
            z = goodness_of_fit.normal_scores(model.flow.distribution, model.flow.bijector.inverse(y))
        except NotImplementedError as error:
            raise DetectorError(
                f"{self.name}: the flow's prior, {type(model.flow.distribution).__name__}, has neither "
                f"independent coordinates nor a mean and a standard deviation."
            ) from error
        return tf.reshape(z, [-1, *model.flow.event_shape])

    def _fit_statistics(self, statistics: np.ndarray) -> dict[str, np.ndarray]:
        if len(statistics) < 2:
            raise DetectorError(f"{self.name}: fit needs at least two images, got {len(statistics)}.")
        two_sided = statistics[:, NUM_ONE_SIDED:]
        return tails.fit_tails(np.concatenate([statistics, -two_sided], axis=1))

    def _formula(self, statistics: tf.Tensor, fitted: dict[str, tf.Tensor]) -> tf.Tensor:
        two_sided = statistics[:, NUM_ONE_SIDED:]
        surprises = -tails.log_tails(tf.concat([statistics, -two_sided], axis=1), fitted)
        if self.settings["tests"] == "paper":
            return tf.reduce_max(surprises[:, :NUM_OF_PAPER], axis=-1)
        one_sided = surprises[:, :NUM_ONE_SIDED]
        upper, lower = tf.split(surprises[:, NUM_ONE_SIDED:], 2, axis=1)
        either = tf.maximum(upper, lower) - np.log(2.0)
        return tf.reduce_max(tf.concat([one_sided, either], axis=1), axis=-1)

    def _needed(self) -> tuple[str, ...]:
        return (tails.ASCENDING, tails.TAIL)


def _groups(model: FlowModel) -> tuple[np.ndarray, np.ndarray]:
    """(level, channel at its level) of each coordinate of the latent, each `[H, W, C]`, counted from 0."""
    bijector = model.flow.bijector
    if isinstance(bijector, bijectors.Glow):
        levels, channels = bijector.latent_levels, bijector.latent_channels
    else:
        shape = tuple(model.flow.event_shape)
        levels, channels = np.zeros(shape, int), np.broadcast_to(np.arange(shape[-1]), shape)
    _, both = np.unique(levels * (channels.max() + 1) + channels, return_inverse=True)
    return levels, both.reshape(levels.shape)
