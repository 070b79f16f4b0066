"""The Glow of another library as ours: its weights, taken over, give its log-probabilities.

    python benchmarks/ports.py             # a Glow of each library that is installed, its weights perturbed
    python benchmarks/ports.py --quick     # small ones

prints for each the `GlowConfig`, its log-probabilities and the largest relative difference, in float64.
docs/ports.md says which config is whose; port_tfb.py and port_normflows.py read the libraries' weights, and
port_weights.py writes them into ours.
"""

import argparse
import dataclasses
import importlib
import importlib.util
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from benchmarks import environment  # noqa: E402

environment.prepare()

import numpy as np  # noqa: E402

import tfp_flows  # noqa: E402
from benchmarks import port_weights  # noqa: E402

BATCH = 4
# The package of each library that is one, and a module with perturbed(size, images) -> (log p, levels).
LIBRARIES = {
    "tfb.Glow": ("tensorflow_probability", "benchmarks.port_tfb"),
    "normflows": ("normflows", "benchmarks.port_normflows"),
}

# What makes ours the Glow of each library; see docs/ports.md.
CONFIGS = {
    "tfb.Glow": dict(leaves="transformed", factor_out_scale="exp"),
    "normflows": dict(leaves="transformed", shift_first=True, factor_out="none", learned_prior=True),
    "Glow-PyTorch": dict(leaves="transformed", shift_first=True, factor_out_scale="exp", learned_prior=True),
}
# All three: a sigmoid without a floor, and networks that see whatever comes.
CONFIGS = {name: dict(scale="sigmoid", input_limit=0.0, **rest) for name, rest in CONFIGS.items()}


@dataclasses.dataclass(frozen=True)
class Size:
    """Of the images and of the model."""

    image_shape: tuple[int, int, int] = (32, 32, 3)
    levels: int = 3
    steps_per_level: int = 4
    hidden_channels: int = 64


QUICK = Size(image_shape=(8, 8, 3), steps_per_level=2, hidden_channels=8)


def ported(name, size, levels):
    """Our Glow with the weights of that library's, float64."""
    config = tfp_flows.GlowConfig(
        levels=size.levels,
        steps_per_level=size.steps_per_level,
        hidden_channels=size.hidden_channels,
        dtype="float64",
        **CONFIGS[name],
    )
    flow = tfp_flows.glow(config, size.image_shape)
    port_weights.assign(flow, levels)
    return flow


def compared(name, size):
    """(log-probabilities of a perturbed Glow of that library, those of ours with its weights)."""
    library = importlib.import_module(LIBRARIES[name][1])
    images = np.random.default_rng(0).uniform(size=[BATCH, *size.image_shape])
    expected, levels = library.perturbed(size, images)
    return expected, ported(name, size, levels).log_prob(images).numpy()


def main(arguments=None):
    """Compares ours with the Glow of each library; returns {library: largest relative difference}."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small images and models")
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else Size()
    print(size)
    differences = {}
    for name, (package, _) in LIBRARIES.items():
        if importlib.util.find_spec(package) is None:
            print(f"{name}: not installed")
            continue
        expected, found = compared(name, size)
        differences[name] = float(np.max(abs(found / expected - 1)))
        print(f"{name}: GlowConfig({', '.join(f'{k}={v!r}' for k, v in CONFIGS[name].items())})")
        print(f"  log p, its own {expected}\n  log p, ours    {found}")
        print(f"  largest relative difference {differences[name]:.1e}")
    return differences


if __name__ == "__main__":
    main()
