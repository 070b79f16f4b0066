"""The operations of this project's exports, made anew: of every family, detector and function.

python -m tests.serving.operations_of_exports     writes them into tfp_flows/checks/allowed_operations.txt
"""

import collections
import pathlib
import tempfile
import textwrap

import tensorflow as tf

from tfp_flows import data, detectors, testing
from tfp_flows.checks import graphs
from tfp_flows.models import registry
from tfp_flows.serving import Servable

SHAPE = (8, 8, 1)
# Settings that change what is in a graph; each is an export.
CONFIGS = {
    "glow": (
        dict(levels=2),
        dict(levels=1, coupling="additive", prior="laplace", network="highway", dtype="float64"),
        dict(levels=2, scale="exp", factor_out="shift", leaves="transformed", learned_prior=True),
        dict(levels=1, scale="tanh"),
        dict(levels=2, factor_out="affine", prior="logistic", shift_first=True, reversible=False),
        dict(levels=1, dequantization="variational", dequantization_channels=2, network="attention"),
        dict(levels=1, dequantization="variational", dequantization_channels=2, network="transformer"),
    ),
    "vae": tuple(dict(likelihood=likelihood) for likelihood in ("categorical", "logistic", "bernoulli")),
    "pixelcnn": (dict(),),
}
SMALL = {
    "glow": dict(steps_per_level=1, hidden_channels=2),
    "vae": dict(architecture="small", latent_size=2),
    "pixelcnn": dict(num_resnet=1, num_hierarchies=2, num_filters=2),
}
PROTOCOLS = {
    "glow": (dict(), dict(num_dequantization_samples=2, bound="importance"), *(dict(),) * 5),
    "vae": (dict(num_importance_samples=2),) * 3,
    "pixelcnn": (dict(),),
}


def servables():
    """A `Servable` of each setting, and of each detector that can be exported.

    Those of one model differ in their detectors: what asks no detector is traced for the first alone.
    """
    for name, configs in CONFIGS.items():
        family = registry.family(name)
        for config, protocol in zip(configs, PROTOCOLS[name], strict=True):
            model = _model(name, config, protocol)
            yield Servable(model, family, detectors.Typicality(model).fit(_images()).calibrate(_images()))
    vae = _model("vae", CONFIGS["vae"][1], PROTOCOLS["vae"][1])
    for kind in (detectors.DensityOfStates, detectors.LikelihoodPath, detectors.Default):
        yield _of_detector(Servable(vae, registry.family("vae"), kind(vae).fit(_images())))
    family, model = registry.family("glow"), _model("glow", CONFIGS["glow"][0])
    compiled = Servable(model, family, detectors.Typicality(model).fit(_images()), jit_compile=True)
    yield _of_detector(compiled)
    for detector in _detectors(model, _model("glow", CONFIGS["glow"][0])):
        yield _of_detector(Servable(model, family, detector.fit(_images()).calibrate(_images())))


def _of_detector(servable):
    for name in servable.methods.keys() - {"serving_default", "score_map"}:
        del servable.methods[name]
    return servable


def operations():
    """{heading of allowed_operations.txt: operations}."""
    found = collections.defaultdict(set)
    for servable in servables():
        with tempfile.TemporaryDirectory() as folder:
            servable.save(folder)
            for place, operation in graphs.placed_operations(graphs.read_graph(folder)):
                found[place].add(operation)
    everywhere = frozenset(found[graphs.EXPORTED])
    return {
        place: names - everywhere if place != graphs.EXPORTED else names for place, names in found.items()
    }


def _images(count=30):
    return data.load("digits@binarize", "calibration").images[:count]  # as the Bernoulli wants them


def _model(name, config, protocol=None):
    family = registry.family(name)
    config = family.config_class(**SMALL[name], **config)
    model = family.build(config, SHAPE, family.protocol_class(**(protocol or {})))
    family.initialize(model, tf.cast(_images(), model.dtype), 0)
    if name == "glow":
        testing.perturb(model.flow.bijector, 0, 0.05)  # else all images have one log-determinant
    return model


def _detectors(model, other):
    yield detectors.Default(model)
    yield detectors.Likelihood(model)
    yield detectors.OutlierExposure(model)
    yield from (detectors.DensityOfStates(model, density) for density in ("kde", "svm"))
    yield detectors.InputComplexity(model)
    yield detectors.SITN(model, "all")
    yield detectors.LikelihoodRatio(model, [other])
    yield detectors.WAIC([model, other])
    yield detectors.Critics(SHAPE, num_members=2, num_steps=1, width=2)
    yield detectors.ForeignPatches(SHAPE, num_steps=1, width=2)


def write(found):
    """Puts the operations into the file; those of its last section that are among them move up."""
    head = graphs.ALLOWED_FILE.read_text(encoding="utf-8").split("[")[0]
    further = graphs.sections()[graphs.FURTHER] - found[graphs.EXPORTED]
    text = head
    for heading in (graphs.EXPORTED, graphs.OUTSIDE, graphs.SAVER, graphs.FURTHER):
        names = found.get(heading, further)
        text += f"[{heading}]\n{textwrap.fill(' '.join(sorted(names)), 109)}\n\n"
    pathlib.Path(graphs.ALLOWED_FILE).write_text(text.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(operations())
