"""What each detector's score costs, in evaluations of log p(x), and whether any of it is waste.

    python benchmarks/detectors.py                        # the table, 5 rounds
    python benchmarks/detectors.py --json=detectors.json  # and the ratios, for a machine to read
    python benchmarks/detectors.py --quick                # fewer rounds
    python benchmarks/detectors.py --smoke                # tiny sizes: does it run?

Timed in turns, A B A B, on the same images: `detector.score`, and the model's `log_prob` in a `tf.function`.
The ratio is log_prob's time over the score's, so one over it is the number of evaluations that a score
costs. What its formula needs at the least is in `evaluations`: 1 for a function of log p(x), one for each
model of an ensemble, 3 for a gradient (forward and backward), which is taken image by image. A score that is
scored again must not be traced again; the script fails if it is.
"""

import argparse
import dataclasses
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from benchmarks import environment  # noqa: E402

environment.prepare()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import tfp_flows  # noqa: E402
from benchmarks import entries  # noqa: E402
from tfp_flows import detectors, evaluation, testing  # noqa: E402
from tfp_flows.models import registry  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Size:
    """The models, and how many images are fitted to and scored."""

    image: tuple = (28, 28, 1)
    levels: int = 2
    steps_per_level: int = 8
    hidden: int = 64
    fitted: int = 256
    batch: int = 256
    slow_batch: int = 4  # of a score that takes a second an image
    regret_steps: int = 100


OF_VAE = ("likelihood_regret", "likelihood_path")  # told in the cost of a VAE's log_prob
TINY = Size((8, 8, 1), 1, 1, 4, 16, 8, 2, 2)


def make_glow(size, seed=0):
    """A Glow over integer images, with weights that are not at their start."""
    config = tfp_flows.GlowConfig(
        levels=size.levels, steps_per_level=size.steps_per_level, hidden_channels=size.hidden, seed=seed
    )
    flow = tfp_flows.glow(config, size.image)
    testing.perturb(flow, scale=0.02)
    return tfp_flows.Dequantized(flow)


def make_vae(size):
    """A small VAE, for the score that needs an encoder."""
    family = registry.family("vae")
    config = family.config_class(architecture="small", latent_size=8, likelihood="logistic")
    return family.build(config, size.image, family.protocol_class(num_importance_samples=4))


def make_detectors(size):
    """{name: (detector, model that its cost is told in, evaluations of that model that it needs)}.

    Critics and foreign patches have no density model; theirs is the cost of a Glow's.
    """
    glow, vae = make_glow(size), make_vae(size)
    three = [make_glow(size, seed) for seed in (1, 2, 3)]
    critics = detectors.Critics(size.image, num_members=2, num_steps=2, batch_images=size.fitted)
    patches = detectors.ForeignPatches(size.image, num_steps=2)
    regret = detectors.LikelihoodRegret(vae, num_steps=size.regret_steps)
    return {
        "default": (detectors.Default(glow), glow, 1),
        "likelihood": (detectors.Likelihood(glow), glow, 1),
        "typicality": (detectors.Typicality(glow), glow, 1),
        "density_of_states": (detectors.DensityOfStates(glow), glow, 1),
        "input_complexity": (detectors.InputComplexity(glow), glow, 1),
        "likelihood_ratio": (detectors.LikelihoodRatio(glow, three[:1]), glow, 2),
        "waic": (detectors.WAIC([glow, *three]), glow, 4),
        "critics": (critics, glow, None),
        "outlier_exposure": (detectors.OutlierExposure(glow), glow, 1),
        "likelihood_regret": (regret, vae, None),
        "gradient_norms": (detectors.GradientNorms(glow), glow, 3),
        "score_test": (detectors.ScoreTest(glow, num_fisher_images=size.fitted), glow, 3),
        "local_intrinsic_dimension": (detectors.LocalIntrinsicDimension(glow), glow, None),
        "second_order": (detectors.SecondOrder(glow), glow, None),
        "sitn": (detectors.SITN(glow), glow, 1),
        "likelihood_path": (detectors.LikelihoodPath(vae), vae, None),
        "foreign_patches": (patches, glow, None),
    }


def measure(size, rounds):
    """Yields the entry of each detector."""
    rng = np.random.default_rng(0)
    fitted, scored = (rng.integers(0, 256, [n, *size.image], np.uint8) for n in (size.fitted, size.batch))
    for name, (detector, model, evaluations) in make_detectors(size).items():
        slow = name == "local_intrinsic_dimension"
        images = scored[: size.slow_batch] if slow else scored
        detector.fit(fitted[: size.slow_batch] if slow else fitted)
        log_prob = evaluation.compiled_log_prob(model)
        functions = {
            "score": lambda d=detector, x=images: d.score(x),
            "log_prob": lambda f=log_prob, x=images: f(tf.constant(x)).numpy(),
        }
        seconds = _in_turns(functions, rounds)
        traces = detector.statistics.compiled().experimental_get_tracing_count()
        if traces != 1:
            raise RuntimeError(f"{name}: its statistics were traced {traces} times")
        config = {**_flow_size(size), "batch": len(images), "evaluations": evaluations}
        against = "log_prob of the VAE" if name in OF_VAE else "log_prob"
        yield entries.entry(
            f"detector_{name}", seconds["score"], seconds["log_prob"], against, config, len(images)
        )


def _flow_size(size):
    names = ("image", "levels", "steps_per_level", "hidden")
    return {**{name: getattr(size, name) for name in names}, "tensorflow": tf.__version__}


def _in_turns(functions, rounds):
    """{name: [seconds]}, after one call of each to trace."""
    seconds = {name: [] for name in functions}
    for round_ in range(-1, rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if round_ >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main(arguments=None):
    """Measures, prints the ratios and writes them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for the list of ratios")
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 5")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one round")
    options = parser.parse_args(arguments)
    found = []
    for one in measure(TINY if options.smoke else Size(), 1 if options.smoke else 3 if options.quick else 5):
        found.append(one)
        print(f"{entries.line(one)}, {1 / one['ratio']:.2f} evaluations", flush=True)
    entries.write(found, options.json)


if __name__ == "__main__":
    main()
