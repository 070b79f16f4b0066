"""The paper's claim put to the test: the predicted and the observed sign, for one model and one q."""

import dataclasses
from collections.abc import Callable

import numpy as np
from tensorflow_probability import distributions as tfd

from analysis import second_order
from analysis.errors import AnalysisError
from analysis.moments import Moments

ESTIMATES = (
    "paper's closed form",
    "linear part",
    "exact diagonal",
    "Hutchinson",
    "full covariance",
    "whole expansion",
)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """E_q[log p(x)] - E_p*[log p(x)], measured and predicted, in nats per image.

    Attributes:
      measured: Difference of the mean log-likelihoods of two sets of images.
      measured_se: Its standard error.
      first_order: g^T delta.
      mean_curvature: 1/2 delta^T H delta.
      trace_exact: 1/2 Tr(H (Sigma_q - Sigma_p*)), diagonal covariances, exact Hessian of the model.
      trace_hutchinson: The same from random probes.
      trace_hutchinson_se: Its standard error.
      trace_full: The same with full covariances, from samples of both sets.
      trace_full_se: Its standard error.
      trace_linear: With the Hessian of the flow whose shift networks are zero; None where it has no
        meaning (a volume that depends on the image, or another prior).
      trace_paper: The paper's closed form; None where it has no meaning (channels are squeezed, or as
        above).
    """

    measured: float
    measured_se: float
    first_order: float
    mean_curvature: float
    trace_exact: float
    trace_hutchinson: float
    trace_hutchinson_se: float
    trace_full: float
    trace_full_se: float
    trace_linear: float | None
    trace_paper: float | None

    @property
    def second_order_total(self) -> float:
        """First order, curvature of the means and full-covariance trace: the whole expansion."""
        return self.first_order + self.mean_curvature + self.trace_full

    def estimates(self) -> dict[str, float]:
        """{name: value} of the `ESTIMATES` that have a meaning for this model."""
        values = (
            self.trace_paper,
            self.trace_linear,
            self.trace_exact,
            self.trace_hutchinson,
            self.trace_full,
            self.second_order_total,
        )
        named = zip(ESTIMATES, values, strict=True)
        return {name: value for name, value in named if value is not None}

    def errors(self) -> dict[str, float]:
        """{name: standard error} of the estimates that are random."""
        return {
            "Hutchinson": self.trace_hutchinson_se,
            "full covariance": self.trace_full_se,
            "whole expansion": self.trace_full_se,
        }


def sign(value: float, error: float = 0.0) -> int:
    """+1 or -1, or 0 where `value` is within two standard errors of zero."""
    return 0 if abs(value) <= 2 * error else int(np.sign(value))


def compare(
    flow: tfd.TransformedDistribution,
    expansion: second_order.Expansion,
    p: "Sample",
    q: "Sample",
    *,
    log_prob_p: np.ndarray,
    log_prob_q: np.ndarray,
    num_probes: int = 64,
    num_images: int = 256,
    seed: int = 0,
) -> Comparison:
    """Predicts and measures how much likelier the images of q are than those of p*.

    Args:
      flow: The flow that was trained on p*.
      expansion: `second_order.expand(flow, p.moments)`.
      p: `Sample` of the training data.
      q: `Sample` of the other data.
      log_prob_p: Log-probabilities of the test images of p*, nats, `[N]`.
      log_prob_q: Those of q, `[M]`.
      num_probes: For Hutchinson's estimate.
      num_images: Images of each set for the full covariance, drawn at random.
      seed: Of the probes and of those draws.

    Returns:
      `Comparison`.
    """
    difference = q.moments.unit_variance - p.moments.unit_variance
    trace, trace_se = expansion.hutchinson_trace_term(difference, num_probes, seed)
    full_q, full_q_se = expansion.full_covariance_term(q.draw(num_images, seed), q.moments.unit_mean)
    full_p, full_p_se = expansion.full_covariance_term(p.draw(num_images, seed), p.moments.unit_mean)
    errors = [values.std(ddof=1) / np.sqrt(len(values)) for values in (log_prob_p, log_prob_q)]
    return Comparison(
        measured=float(log_prob_q.mean() - log_prob_p.mean()),
        measured_se=float(np.hypot(*errors)),
        first_order=expansion.first_order(q.moments.unit_mean),
        mean_curvature=expansion.mean_curvature(q.moments.unit_mean),
        trace_exact=expansion.trace_term(difference),
        trace_hutchinson=trace,
        trace_hutchinson_se=trace_se,
        trace_full=full_q - full_p,
        trace_full_se=float(np.hypot(full_q_se, full_p_se)),
        trace_linear=_or_none(lambda: 0.5 * np.sum(second_order.linear_part_diagonal(flow) * difference)),
        trace_paper=_or_none(lambda: second_order.paper_estimate(flow, q.moments, p.moments)),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """A data set: its images, uint8 `[N, H, W, C]`, and its `Moments`."""

    images: np.ndarray
    moments: Moments

    def draw(self, count: int, seed: int) -> np.ndarray:
        """Up to `count` images at random, dequantised at random: float64 in the unit interval."""
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(self.images), min(count, len(self.images)), replace=False)
        images = self.images[chosen].astype(np.float64)
        return (images + rng.uniform(size=images.shape)) / 256


def _or_none(compute: Callable[[], float]) -> float | None:
    try:
        return float(compute())
    except AnalysisError:
        return None
