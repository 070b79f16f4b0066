"""Published AUROC of out-of-distribution scores, who measured each, and how sure we are of it.

The literature contradicts itself, so that no number stands without the name of who ran it.
"""

from typing import NamedTuple

from tfp_flows.data import names

FASHION_MNIST = ("fashion_mnist", "mnist")
CIFAR10 = ("cifar10", "svhn_cropped")
CIFAR100 = ("cifar10", "cifar100")
DLSR = "a reprint of Serra 2020 (DLSR 2024, table 1)"
UNNAMED = "not named"  # the source does not say of which model
SOURCES = {
    "verified": "read, and again in a reprint",
    "read": "read in a stored public source",
    "contradicted": "another source prints another number",
    "memory": "from memory, not found anywhere",
}


class Published(NamedTuple):
    """One number of the literature.

    Attributes:
      detector: Name of the score, as in `tfp_flows.detectors`.
      pair: (in-distribution, out-of-distribution) data sets.
      auroc: As printed there; out-of-distribution is the positive class.
      model: Kind of density model.
      who: Who measured it.
      by_authors: Whether they are the score's authors, or others who ran it again.
      source: Key of `SOURCES`.
    """

    detector: str
    pair: tuple[str, str]
    auroc: float
    model: str
    who: str
    by_authors: bool
    source: str


NUMBERS = (
    Published("likelihood", CIFAR10, 0.08, "VAE (ELBO)", "about; common in the literature", False, "read"),
    Published("likelihood", CIFAR10, 0.064, UNNAMED, "a review, as 6.4 %", False, "read"),
    Published(
        "likelihood", FASHION_MNIST, 0.240, "neural spline flow", "Kamkari 2024's notebook", False, "read"
    ),
    Published("likelihood", CIFAR10, 0.064, "neural spline flow", "Kamkari 2024's notebook", False, "read"),
    Published("likelihood", FASHION_MNIST, 0.089, "PixelCNN", "Ren 2019", False, "memory"),
    Published("likelihood", CIFAR10, 0.095, "PixelCNN", "Ren 2019", False, "memory"),
    Published("waic", FASHION_MNIST, 0.766, "Glow", "Choi & Jang 2018", True, "memory"),
    Published("waic", CIFAR10, 1.000, "Glow", "Choi & Jang 2018", True, "memory"),
    Published("waic", FASHION_MNIST, 0.221, "5 PixelCNNs", "Ren 2019", False, "memory"),
    Published("waic", CIFAR10, 0.143, "Glow", "Morningstar 2021 (DoSE)", False, "read"),
    Published("waic", CIFAR10, 0.760, UNNAMED, "a later re-run (EigenScore, table 1)", False, "read"),
    Published("outlier_exposure", CIFAR10, 0.758, "PixelCNN++", "Hendrycks 2019", True, "memory"),
    Published("likelihood_ratio", FASHION_MNIST, 0.994, "PixelCNN", "Ren 2019", True, "memory"),
    Published("likelihood_ratio", CIFAR10, 0.931, "PixelCNN", "Ren 2019", True, "memory"),
    Published("likelihood_ratio", CIFAR10, 0.064, "Glow", "Morningstar 2021 (DoSE)", False, "read"),
    Published("typicality", CIFAR10, 0.870, "Glow", "a re-run", False, "read"),
    Published("typicality", CIFAR10, 0.714, UNNAMED, "another re-run (EigenScore)", False, "read"),
    Published("input_complexity", FASHION_MNIST, 0.998, "Glow", "Serra 2020", True, "memory"),
    Published("input_complexity", CIFAR10, 0.950, "Glow, FLIF", "Serra 2020", True, "contradicted"),
    Published("input_complexity", CIFAR10, 0.883, "Glow", DLSR, False, "contradicted"),
    Published("input_complexity", CIFAR10, 0.929, "PixelCNN++", "Serra 2020", True, "contradicted"),
    Published(
        "input_complexity",
        CIFAR10,
        0.737,
        "PixelCNN++",
        DLSR,
        False,
        "contradicted",
    ),
    Published("likelihood_regret", FASHION_MNIST, 0.99, "VAE", "Xiao 2020", True, "verified"),
    Published("likelihood_regret", CIFAR10, 0.88, "VAE", "Xiao 2020", True, "verified"),
    Published("density_of_states", FASHION_MNIST, 1.00, "Glow", "Morningstar 2021", True, "verified"),
    Published("density_of_states", CIFAR10, 0.97, "Glow", "Morningstar 2021", True, "verified"),
    Published("density_of_states", CIFAR10, 0.955, "Glow", "a re-run", False, "read"),
    Published("density_of_states", CIFAR10, 0.752, UNNAMED, "another re-run (EigenScore)", False, "read"),
    Published("density_of_states", CIFAR100, 0.57, UNNAMED, "a reprint of Morningstar 2021", True, "read"),
    Published(
        "local_intrinsic_dimension",
        FASHION_MNIST,
        0.846,
        "flow, with an oracle",
        "Kamkari 2024",
        True,
        "read",
    ),
    Published(
        "local_intrinsic_dimension", CIFAR10, 0.943, "flow, with an oracle", "Kamkari 2024", True, "read"
    ),
    Published("score_test", FASHION_MNIST, 0.96, "Glow", "Bergamin 2022", True, "verified"),
    Published("score_test", CIFAR10, 0.87, "Glow", "Bergamin 2022", True, "verified"),
    Published("score_test", CIFAR100, 0.59, UNNAMED, "Bergamin 2022, reprinted", True, "read"),
    Published("sitn", CIFAR10, 0.946, "flow matching", "Bomatter 2026", True, "read"),
    Published("likelihood_path", FASHION_MNIST, 1.00, "VAE", "Huang 2024", True, "read"),
    Published("likelihood_path", CIFAR10, 0.99, "VAE", "Huang 2024", True, "read"),
    Published("likelihood_path", CIFAR100, 0.62, "VAE", "Huang 2024", True, "read"),
)


def numbers(detector: str, own: str, foreign: str) -> list[Published]:
    """The published numbers of a score for a pair of data sets, those of its authors first."""
    pair = [names.understood(name).identity for name in (own, foreign)]
    found = [n for n in NUMBERS if n.detector == detector and [*map(names.identity, n.pair)] == pair]
    return sorted(found, key=lambda n: not n.by_authors)
