"""Every family keeps one contract: seeded, resumable, batch-size independent, uint8 in; one registry."""

import csv
import sys
import types

import numpy as np
import pytest

from tests import forked
from tfp_flows import testing
from tfp_flows.models import registry

SMALL = {
    "glow": dict(levels=1, steps_per_level=1, hidden_channels=4),
    "vae": dict(architecture="small", latent_size=3, likelihood="logistic"),
    "pixelcnn": dict(num_resnet=1, num_hierarchies=2, num_filters=4),
}
FEW_SAMPLES = {"vae": dict(num_importance_samples=4)}  # not 64, each by operations one after another


def test_registry_holds_every_family():
    assert set(registry.names()) == set(SMALL)
    with pytest.raises(ValueError, match="unknown family 'gan'; there are glow, vae, pixelcnn"):
        registry.family("gan")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(4, 4, 1), (8, 4, 3)])
def test_contract(name, shape):
    family = registry.family(name)
    config = family.config_class(**SMALL[name])
    images = np.random.default_rng(0).integers(0, 256, [5, *shape]).astype(np.uint8)

    def build():
        model = family.build(config, shape, family.protocol_class(**FEW_SAMPLES.get(name, {})))
        family.initialize(model, images, np.array([0, -1]))
        return model

    model, again = build(), build()
    testing.check_density_model(model, images)
    np.testing.assert_array_equal(model.log_prob(images), again.log_prob(images))
    seeds = [np.array([0, 3]), np.array([0, 3]), np.array([0, 4])]
    values = [family.training_log_prob(model, images, seed).numpy() for seed in seeds]
    np.testing.assert_array_equal(values[0], values[1])
    assert (values[0] != values[2]).any() == (name != "pixelcnn")  # which has noise only with dropout
    drawn = family.sample(model, 2, (0, 1), False)
    np.testing.assert_array_equal(drawn, model.sample(2, seed=(0, 1)))


def test_a_wheel_alone_refuses_what_needs_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "CHECKOUT", tmp_path)
    assert registry.names() == ["glow"]
    with pytest.raises(ValueError, match="vae needs a checkout of the project") as error:
        registry.family("vae")
    assert "\n" not in str(error.value)


def test_a_strangers_module_is_not_taken(monkeypatch):
    registry._load.cache_clear()
    monkeypatch.setitem(sys.modules, "vae", types.ModuleType("vae"))
    with pytest.raises(ValueError, match="another module called 'vae' is imported already"):
        registry.family("vae")


FLAGS = [
    "--dataset=digits",
    "--batch_size=16",
    "--checkpoint_every=4",
    "--log_every=4",
    "--validate_every=0",
    "--noprogress",
]
COMMAND_FLAGS = {
    "vae": ["--architecture=small", "--latent_size=4", "--likelihood=logistic"],
    "pixelcnn": ["--num_resnet=1", "--num_hierarchies=2", "--num_filters=6", "--dropout=0.1"],
}


def _run(module, *arguments):
    return forked.command(module, *arguments)


def _rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [{k: v for k, v in r.items() if k != "images_per_second"} for r in csv.DictReader(file)]


@pytest.mark.parametrize("family", COMMAND_FLAGS)
def test_commands(tmp_path, family):
    """Trained in one go, and in two: the same rows; evaluated by the family's protocol."""
    flags = [*FLAGS, *COMMAND_FLAGS[family]]
    for steps in (4, 8):
        part = _run(
            f"{family}.train",
            f"--run={tmp_path / 'parts'}",
            *flags,
            f"--steps={steps}",
            "--decay=0",
            "--warmup=0",
        )
        assert part.returncode == 0, part.stderr
    again = _run(
        f"{family}.train", f"--run={tmp_path / 'again'}", *flags, "--steps=8", "--decay=0", "--warmup=0"
    )
    assert again.returncode == 0, again.stderr
    assert _rows(tmp_path / "parts" / "metrics.csv") == _rows(tmp_path / "again" / "metrics.csv")
    text = (tmp_path / "again" / "flags.flags").read_text()
    assert f"--family={family}" in text and "--levels" not in text
    protocol = ["--num_importance_samples=8"] if family == "vae" else []
    result = _run(
        "tfp_flows.evaluate",
        f"--run={tmp_path / 'again'}",
        "--datasets=noise",
        "--num_samples=4",
        "--temperature=0.7",
        "--noprogress",
        *protocol,
    )
    assert result.returncode == 0, result.stderr
    (own, *_, noise) = _rows(tmp_path / "again" / "evaluation" / "bits_per_dim.csv")
    assert float(noise["bits_per_dim"]) > float(own["bits_per_dim"])
    assert (float(own["estimate_se"] or 0) > 0) == (family == "vae")
    description = (tmp_path / "again" / "evaluation" / "protocol.json").read_text()
    assert ('"num_importance_samples": 8' in description) == (family == "vae")


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("vae.train", ["--levels=2"], "--levels is a flag of glow; the family here is vae."),
        ("vae.train", ["--latent_size=0"], "--latent_size must be a positive integer, got 0."),
        ("pixelcnn.train", ["--num_hierarchies=5"], "halve evenly 4 times"),
        ("pixelcnn.train", ["--likelihood=logistic"], "--likelihood is a flag of vae"),
        ("tfp_flows.train", ["--dropout=0.1"], "--dropout is a flag of pixelcnn; the family here is glow."),
    ],
)
def test_flags_that_do_not_fit(tmp_path, module, arguments, message):
    result = _run(module, f"--run={tmp_path / 'run'}", *FLAGS, "--steps=2", *arguments)
    assert result.returncode == 1
    assert message in result.stderr and result.stderr.strip().count("\n") == 0, result.stderr
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())
